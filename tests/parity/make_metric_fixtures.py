"""Writes crates/mtids-metrics/tests/fixtures/reference.json: the figures of scikit-learn, SciPy, statsmodels and NumPy for small inputs.

    python3 -m venv .venv && .venv/bin/pip install -r tests/parity/metric_requirements.txt
    .venv/bin/python tests/parity/make_metric_fixtures.py

Inputs cover ties, one class only and single samples. A figure that is not defined is null.
"""

import json
import pathlib
import warnings

import numpy as np
from scipy import sparse, stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.metrics.cluster import expected_mutual_information
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

OUT = pathlib.Path(__file__).parents[2] / "crates/mtids-metrics/tests/fixtures/reference.json"
BINS = 10
warnings.filterwarnings("ignore")


def binary(name, scores, labels):
    """ROC and calibration of one list of probabilities."""
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    case = {"name": name, "scores": scores.tolist(), "labels": labels.tolist(), "bins": BINS}
    # Without a positive scikit-learn warns and says 0.
    case["average_precision"] = metrics.average_precision_score(labels, scores) if labels.any() else None
    case["brier"] = metrics.brier_score_loss(labels, scores, pos_label=1, labels=[0, 1])
    # calibration_curve returns the filled bins only; bincount over the same edges gives their weights.
    edges = np.linspace(0.0, 1.0, BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=BINS)
    truth, predicted = calibration_curve(labels, scores, n_bins=BINS, strategy="uniform") if len(set(labels)) == 2 else (
        np.array([labels[np.searchsorted(edges[1:-1], scores) == b].mean() for b in range(BINS) if counts[b]]),
        np.array([scores[np.searchsorted(edges[1:-1], scores) == b].mean() for b in range(BINS) if counts[b]]),
    )
    case["expected_calibration_error"] = float(np.sum(counts[counts > 0] * np.abs(truth - predicted)) / len(scores))
    if len(set(labels.tolist())) == 2:
        case["auroc"] = metrics.roc_auc_score(labels, scores)
        fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
        case["roc"] = [[float(x), float(y)] for x, y in zip(fpr, tpr)]
    else:
        case["auroc"], case["roc"] = None, []
    return case


def confusion(name, classes, truth, called):
    """Confusion counts and the figures made of them."""
    labels = list(range(classes))
    case = {"name": name, "classes": classes, "truth": list(map(int, truth)), "called": list(map(int, called))}
    case["counts"] = metrics.confusion_matrix(truth, called, labels=labels).tolist()
    case["accuracy"] = metrics.accuracy_score(truth, called)
    case["balanced_accuracy"] = metrics.balanced_accuracy_score(truth, called)
    # Without `labels`, the mean is over the classes that occur, as ours.
    case["macro_f1"] = metrics.f1_score(truth, called, average="macro", zero_division=0)
    case["recall"] = [
        metrics.recall_score(truth, called, labels=[c], average="macro") if c in set(truth) else None for c in labels
    ]
    return case


def association(name, table):
    """Bergsma's corrected V, from SciPy's chi-squared without empty rows and columns."""
    full = np.asarray(table, float)
    filled = full[full.sum(1) > 0][:, full.sum(0) > 0]
    # scikit-learn's mutual information and that of chance, which its adjusted mutual information subtracts.
    counts = full.astype(int)
    nats = metrics.mutual_info_score(None, None, contingency=counts)
    chance = expected_mutual_information(sparse.csr_matrix(filled.astype(np.int64)), int(filled.sum()))
    entropy = stats.entropy(counts.sum(0))
    beyond, told = max(0.0, nats - chance), entropy - chance > 1e-9
    case = {"name": name, "table": counts.tolist(), "cramers_v": None, "uncorrected": None}
    case["bits"] = float(beyond / np.log(2)) if told and beyond > 0 else 0.0
    case["of_column"] = float(min(1.0, beyond / (entropy - chance))) if told else 0.0
    if min(filled.shape) < 2:
        return case
    n, (r, k) = filled.sum(), filled.shape
    phi = stats.chi2_contingency(filled, correction=False).statistic / n
    case["uncorrected"] = float(stats.contingency.association(filled.astype(int), method="cramer"))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    limit = min(rows, columns) - 1
    if limit > 0:
        case["cramers_v"] = float(min(1.0, np.sqrt(max(0.0, phi - (r - 1) * (k - 1) / (n - 1)) / limit)))
    return case


def interval(successes, trials):
    """Wilson's interval without continuity correction."""
    ends = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return {"successes": successes, "trials": trials, "low": float(ends.low), "high": float(ends.high)}


def effect(value, spreads):
    """Interval and p-value by Student's t; degrees of freedom of Welch and Satterthwaite."""
    total = sum(variance for variance, _ in spreads)
    degrees = total**2 / sum(variance**2 / degrees for variance, degrees in spreads)
    student = stats.t(degrees, scale=np.sqrt(total))
    low, high = student.interval(0.95)
    return {
        "value": value,
        "spreads": [list(spread) for spread in spreads],
        "low": float(value + low),
        "high": float(value + high),
        "p": float(2 * student.sf(abs(value))),
    }


def clustered(name, patients):
    """Difference of two means with samples of a patient dependent: least squares of the value on the side, with clustered covariance.

    `patients` are pairs of lists, the values of a patient on either side. Ours takes the larger of that variance and that of no difference,
    which is written out here, and Student's t with the degrees of freedom of the side with fewer patients.
    """
    rows = [(value, side, n) for n, sides in enumerate(patients) for side in (0, 1) for value in sides[side]]
    values, sides, groups = (np.array(column) for column in zip(*rows))
    design = np.column_stack([np.ones(len(values)), sides])
    fit = OLS(values, design).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True})
    counts = np.array([[len(sides[0]), len(sides[1])] for sides in patients], float)
    means = np.array([np.mean(list(sides[0]) + list(sides[1])) for sides in patients])
    shares = counts / counts.sum(0)
    chance = np.var(means, ddof=1) * np.sum((shares[:, 1] - shares[:, 0]) ** 2)
    error = float(np.sqrt(max(fit.bse[1] ** 2, chance)))
    degrees = int(min((counts > 0).sum(0))) - 1
    low, high = fit.params[1] + np.array(stats.t(degrees).interval(0.95)) * error
    return {
        "name": name,
        "patients": [[list(map(float, side)) for side in sides] for sides in patients],
        "clustered_error": float(fit.bse[1]),
        "is_of_clusters": bool(fit.bse[1] ** 2 >= chance),
        "value": float(fit.params[1]),
        "low": float(low),
        "high": float(high),
        "p": float(2 * stats.t(degrees).sf(abs(fit.params[1]) / error)),
    }


def share(name, patients):
    """A share with samples of a patient dependent: least squares of a constant with clustered covariance, and Wilson's interval of statsmodels for
    as many samples as have its variance, with Student's quantile for few patients. `patients` are pairs of samples and those that count."""
    values = np.array([float(k < counted) for samples, counted in patients for k in range(samples)])
    groups = np.array([n for n, (samples, _) in enumerate(patients) for _ in range(samples)])
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True})
    value, clusters = float(values.mean()), len(patients)
    independent = min(value * (1 - value) / fit.bse[0] ** 2, len(values)) if 0 < value < 1 else clusters
    independent *= (stats.norm.ppf(0.975) / stats.t(clusters - 1).ppf(0.975)) ** 2
    low, high = proportion_confint(value * independent, independent, method="wilson")
    error = float(fit.bse[0]) if 0 < value < 1 else 0.0
    return {"name": name, "patients": [list(map(int, one)) for one in patients], "share": value, "error": error, "low": float(low), "high": float(high)}


def shared(random, patients, own):
    """Patients with 1 to 6 samples and a probability of their own."""
    sizes = random.integers(1, 7, patients)
    return [(int(size), int(random.binomial(size, own(random)))) for size in sizes]


def cohort(random, first, second, both, binary=False):
    """Patients of the first side, of the second, and of both, with 1 to 6 samples each that share a part."""
    patients = []
    for n in range(first + second + both):
        common = random.normal()
        def side(is_on):
            values = common + random.normal(size=random.integers(1, 7)) if is_on else []
            return [float(value > 0.5) for value in values] if binary else [round(float(value), 4) for value in values]
        patients.append([side(n < first or n >= first + second), side(n >= first)])
    return patients


def adjusted(p):
    return {"p": list(p), "holm": multipletests(p, method="holm")[1].tolist()}


def bootstrap(random):
    """Percentile bootstrap of a mean over patients with several samples each."""
    sizes = random.integers(1, 6, 40)
    effects = random.normal(0.0, 1.0, 40)
    groups = [np.round(effect + random.normal(0.0, 0.5, size), 4) for effect, size in zip(effects, sizes)]

    def mean(drawn):
        return np.concatenate([groups[int(i)] for i in drawn]).mean()

    result = stats.bootstrap(
        (np.arange(40),), mean, n_resamples=50_000, vectorized=False, method="percentile", rng=np.random.default_rng(1)
    )
    ends = result.confidence_interval
    return {
        "patients": [f"p{n:02}" for n, size in enumerate(sizes) for _ in range(size)],
        "values": [float(value) for group in groups for value in group],
        "low": float(ends.low),
        "high": float(ends.high),
    }


def main():
    random = np.random.default_rng(20261127)
    many = random.uniform(size=200)
    coarse = random.integers(0, 8, 120) / 8 + 0.03
    called = random.integers(0, 5, 150)
    values = np.round(np.sort(random.normal(10.0, 4.0, 31)), 4)
    # A generator of its own, so that the cases of the others stay what they were.
    clusters = np.random.default_rng(20261128)
    content = {
        "clustered": [
            clustered("two groups of patients", cohort(clusters, 30, 20, 0)),
            clustered("some patients on both sides", cohort(clusters, 12, 9, 15)),
            clustered("shares of a label", cohort(clusters, 40, 25, 5, binary=True)),
            clustered("few patients", cohort(clusters, 4, 5, 0)),
            clustered("a large and a small side", cohort(clusters, 200, 6, 0)),
            clustered("a few patients with most samples", [[[1.0 + n] * (40 if n == 2 else 1), []] for n in range(12)] + [[[], [2.5 - n] * (30 if n == 1 else 2)] for n in range(9)]),
            clustered("a side that spreads more", [[[0.1 * n, 0.2], []] for n in range(40)] + [[[], [3.0 * n - 12.0, 2.0 * n]] for n in range(9)]),
            clustered("a side without events", [[[float(n < 3)], []] for n in range(40)] + [[[], [0.0]] for _ in range(6)]),
        ],
        "share": [
            share("dependent samples", shared(clusters, 60, lambda random: random.beta(0.5, 1.0))),
            share("independent samples", shared(clusters, 200, lambda random: 0.3)),
            share("a rare class", shared(clusters, 120, lambda random: 0.9 * (random.random() < 0.05))),
            share("few patients", [(4, 3), (1, 0), (6, 1)]),
            share("two patients", [(2, 1), (5, 1)]),
            share("one sample each", [(1, int(n % 3 == 0)) for n in range(40)]),
            share("one of each kind", [(2, 1)] * 12),
            share("all agree", [(3, 3), (1, 1), (2, 2)]),
            share("none", [(1, 0)] * 9),
        ],
        "binary": [
            binary("no ties", many, random.uniform(size=200) < many),
            binary("many ties", coarse, random.uniform(size=120) < 0.3),
            binary("all tied", [0.33] * 6, [1, 0, 0, 1, 0, 0]),
            binary("perfect", [0.91, 0.82, 0.13, 0.04], [1, 1, 0, 0]),
            binary("reversed", [0.11, 0.22, 0.83, 0.94], [1, 1, 0, 0]),
            binary("positives only", [0.33, 0.66], [1, 1]),
            binary("negatives only", [0.33, 0.66], [0, 0]),
            binary("one sample", [0.77], [1]),
        ],
        "confusion": [
            confusion("five classes", 5, np.where(random.uniform(size=150) < 0.6, called, random.integers(0, 5, 150)), called),
            confusion("two classes", 2, random.integers(0, 2, 80), random.integers(0, 2, 80)),
            confusion("a class is never called", 3, [0, 0, 1, 2, 2], [0, 1, 1, 0, 1]),
            confusion("a class never occurs", 3, [0, 0, 1, 1], [0, 2, 1, 1]),
            confusion("one class only", 2, [1, 1, 1], [1, 0, 1]),
            confusion("one sample", 2, [1], [1]),
        ],
        "association": [
            association("two by two", [[10, 20], [5, 25]]),
            association("none", [[25, 25], [25, 25]]),
            association("complete", [[50, 0], [0, 50]]),
            association("many rows", random.integers(0, 9, (7, 3))),
            association("empty row and column", [[8, 0, 3], [0, 0, 0], [2, 0, 9]]),
            association("one row", [[3, 4]]),
            association("one patient a scanner", [[1, 0], [0, 1], [1, 0], [0, 1]]),
            association("thousands", [[4100, 900, 33], [1200, 3900, 71]]),
            association("many rows of few cases", clusters.integers(0, 3, (80, 2))),
        ],
        "quantile": [
            {"values": values.tolist(), "share": share, "quantile": float(np.quantile(values, share))}
            for share in [0.0, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 1.0]
        ]
        + [{"values": [4.25], "share": 0.3, "quantile": 4.25}, {"values": [1.0, 1.0, 2.0], "share": 0.5, "quantile": 1.0}],
        "wilson": [interval(*pair) for pair in [(81, 263), (15, 148), (0, 20), (20, 20), (1, 29), (1, 1), (500, 1000)]],
        "effect": [
            effect(0.02, [(1e-4, 149), (3e-5, 16)]),
            effect(-0.013, [(4e-5, 149)]),
            effect(0.3, [(0.005, 4)]),
            effect(0.5, [(0.04, 1), (1e-6, 30)]),
            effect(0.0, [(1.0, 2.5)]),
            effect(12.0, [(1.0, 7), (2.0, 9), (0.5, 100)]),
        ],
        "holm": [adjusted(p) for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.5, 0.9], [1e-9, 0.02, 0.02, 0.049, 0.7, 0.0])],
        "bootstrap": bootstrap(random),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, cases in content.items():
        body = json.dumps(cases) if isinstance(cases, dict) else "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]"
        lines.append(f"{json.dumps(key)}: {body}")
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
