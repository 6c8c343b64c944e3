"""Writes crates/mtids-metrics/tests/fixtures/logistic.json: ridge logistic regressions of scikit-learn on small inputs.

    python3 -m venv .venv && .venv/bin/pip install -r tests/parity/metric_requirements.txt
    .venv/bin/python tests/parity/make_fusion_fixture.py

Inputs are standardised, missing ones filled with their mean, as the logistic model of mtids-metrics does.
"""

import json
import pathlib

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

OUT = pathlib.Path(__file__).parents[2] / "crates/mtids-metrics/tests/fixtures/logistic.json"


def case(name, rows, labels, ridge):
    """One regression; `rows` may hold NaN."""
    rows, labels = np.round(rows, 4), np.asarray(labels, bool)
    scaler = StandardScaler().fit(rows)  # leaves NaN aside
    inputs = SimpleImputer(strategy="constant", fill_value=0.0).fit_transform(scaler.transform(rows))
    model = LogisticRegression(C=1.0 / ridge, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(inputs, labels)
    return {
        "name": name,
        "rows": [[None if np.isnan(value) else float(value) for value in row] for row in rows],
        "labels": labels.tolist(),
        "ridge": ridge,
        "intercept": float(model.intercept_[0]),
        "weights": model.coef_[0].tolist(),
        "logits": model.decision_function(inputs).tolist(),
    }


def main():
    random = np.random.default_rng(20261128)
    score = random.normal(0.0, 1.5, 60)
    size = np.exp(random.normal(2.1, 0.4, 60))
    labels = random.uniform(size=60) < 1.0 / (1.0 + np.exp(-score - 0.2 * (size - 8.0)))
    shells = random.normal(40.0, 60.0, (60, 4))
    both = np.column_stack([score, size])
    holes = np.column_stack([both, shells])
    holes[random.uniform(size=holes.shape) < 0.15] = np.nan
    cases = [
        case("two inputs", both, labels, 1.0),
        case("six inputs with holes", holes, labels, 1.0),
        case("a strong ridge", holes, labels, 30.0),
        case("separable", np.linspace(-3.0, 3.0, 20)[:, None], np.arange(20) >= 10, 0.01),
        case("twins", np.column_stack([score, score])[:30], labels[:30], 0.5),
        case("few positives", both[:40], np.arange(40) % 13 == 0, 1.0),
    ]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in cases) + "\n]\n")


if __name__ == "__main__":
    main()
