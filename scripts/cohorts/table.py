"""The table of the standing cohorts: what was written, how far readers of the truth come, what the default network reaches.

Arguments: folder of the cohorts, page to write into. Readers of the truth are measured on the same test nodes as the network: a row of the index is
found in truth.json by its station, short axis and place.
"""

import csv
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import between_marks
import numpy as np
import pyarrow.parquet as pq


def auroc(scores, truth):
    scores, truth = np.asarray(scores, float), np.asarray(truth, bool)
    order = np.sort(scores)
    rank = (np.searchsorted(order, scores, "left") + np.searchsorted(order, scores, "right") + 1) / 2
    positive, negative = truth.sum(), (~truth).sum()
    if not positive or not negative:
        return float("nan")
    return (rank[truth].sum() - positive * (positive + 1) / 2) / (positive * negative)


def interval(scores, truth, patients, rounds=1000):
    """95 % bootstrap interval by patient."""
    random = np.random.default_rng(1)
    scores, truth, patients = map(np.asarray, (scores, truth, patients))
    groups = [np.flatnonzero(patients == one) for one in np.unique(patients)]
    draws = []
    for _ in range(rounds):
        rows = np.concatenate([groups[n] for n in random.integers(0, len(groups), len(groups))])
        draws.append(auroc(scores[rows], truth[rows]))
    return np.nanpercentile(draws, [2.5, 97.5])


def test_nodes(folder):
    truth = json.loads((folder / "cohort/truth.json").read_text())
    nodes = [(n, node) for n, patient in enumerate(truth) for node in patient["nodes"]]
    places = np.array([node["center_mm"] for _, node in nodes])
    axes = np.array([node["appearance"]["short_axis_mm"] for _, node in nodes])
    stations = np.array([node["station"] for _, node in nodes])
    rows = pq.read_table(folder / "dataset/index.parquet").to_pylist()
    found = []
    for row in rows:
        if row["split"] != "test" or row["metastasis"] is None:
            continue
        place = np.array([row[f"center_{axis}_mm"] for axis in "xyz"])
        near = np.linalg.norm(places - place, axis=1) + 100 * (stations != row["station"])
        near += 100 * (np.abs(axes - row["short_axis_mm"]) > 0.011)
        best = int(near.argmin())
        if near[best] > 6:
            sys.exit(f"{folder}: a test row is no node of the truth")
        found.append((nodes[best], row))
    return found


def figure(value, bounds=None):
    return f"{value:.3f}" + (f" [{bounds[0]:.2f}–{bounds[1]:.2f}]" if bounds is not None else "")


def main():
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = [name for name in ("easy", "realistic", "hard", "no-signal") if (root / name / "run/predictions.csv").exists()]
    lines = [
        "| cohort | patients | nodes, benign / metastatic | N0 / N1 / N2a / N2b / N3 |",
        "|---|---|---|---|",
    ]
    summaries = {name: json.loads((root / name / "cohort/cohort.json").read_text()) for name in names}
    for name, summary in summaries.items():
        categories = " / ".join(str(summary["n_categories"].get(one, 0)) for one in ("N0", "N1", "N2a", "N2b", "N3"))
        benign = summary["nodes"] - summary["metastatic"]
        lines.append(f"| {name} | {summary['patients']} | {benign} / {summary['metastatic']} | {categories} |")
    stations = sorted({station for summary in summaries.values() for station in summary["stations"]})
    lines += ["", "Nodes by station, benign / metastatic:", "", "| cohort | " + " | ".join(stations) + " |"]
    lines.append("|---|" + "---|" * len(stations))
    for name, summary in summaries.items():
        cells = [" / ".join(map(str, summary["stations"].get(station, [0, 0]))) for station in stations]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "AUROC of metastasis. The first four columns read the truth of all nodes; the others are measured on the test patients, against the labels "
        "of the table and, for the network, also against the true state:",
        "",
        "| cohort | exact, whole patient | exact, one node | logistic regression | short axis | test: exact, one node | test: short axis "
        "| test: network | test: network, true state | test: region accuracy of the network (majority) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, summary in summaries.items():
        found = test_nodes(root / name)
        label = [row["metastasis"] == 1 for _, row in found]
        state = [node["metastasis"] == "metastatic" for (_, node), _ in found]
        patients = [patient for (patient, _), _ in found]
        exact = [node["posterior"] for (_, node), _ in found]
        size = [node["appearance"]["short_axis_mm"] for (_, node), _ in found]
        with open(root / name / "run/predictions.csv", newline="") as file:
            predicted = {row["sample_key"]: row for row in csv.DictReader(file)}
        probability = [float(predicted[row["sample_key"]]["p_metastatic"]) for _, row in found]
        called = [predicted[row["sample_key"]] for _, row in found if row["region_name"]]
        right = np.mean([row["region"] == row["predicted_region"] for row in called])
        majority = max(np.mean([row["region"] == one for row in called]) for one in {row["region"] for row in called})
        lines.append(
            f"| {name} | "
            + " | ".join(
                figure(summary[key])
                for key in ("oracle_in_patient_auroc", "oracle_auroc", "logistic_auroc", "short_axis_auroc")
            )
            + f" | {figure(auroc(exact, label), interval(exact, label, patients))}"
            + f" | {figure(auroc(size, label), interval(size, label, patients))}"
            + f" | {figure(auroc(probability, label), interval(probability, label, patients))}"
            + f" | {figure(auroc(probability, state), interval(probability, state, patients))}"
            + f" | {right:.3f} ({majority:.3f}) |"
        )
    text = "\n".join(lines)
    between_marks.write(out, "cohorts", text)
    print(text)


main()
