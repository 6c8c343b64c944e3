"""The tables of the standing cohorts: what was written, how far readers of the truth and of the voxels come, what the network reaches.

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

COHORTS = ("easy", "realistic", "hard", "no-signal", "pet")


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
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" [{bounds[0]:.2f}–{bounds[1]:.2f}]" if bounds is not None else "")


def trained(folder):
    """Cells of the network: AUROC alone, with measures, accuracy of the region beside the majority; – for what was not run."""
    path = folder / "run-1/evaluation.json"
    if not path.exists():
        return ["–"] * 3
    evaluation = json.loads(path.read_text())
    figures = {one["reader"]: one for one in evaluation["readers"]["figures"]}
    cells = []
    for reader in ("network", "fusion"):
        one = figures.get(reader) or {"auroc": None, "interval": None}
        bounds = one["interval"] and (one["interval"]["low"], one["interval"]["high"])
        cells.append(figure(one["auroc"], bounds))
    with open(folder / "run-1/predictions.csv", newline="") as file:
        called = [row for row in csv.DictReader(file) if row["region"]]
    right = np.mean([row["region"] == row["predicted_region"] for row in called])
    majority = max(np.mean([row["region"] == one for row in called]) for one in {row["region"] for row in called})
    return [*cells, f"{right:.3f} ({majority:.3f})"]


def main():
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = [name for name in COHORTS if (root / name / "dataset/index.parquet").exists()]
    summaries = {name: json.loads((root / name / "cohort/cohort.json").read_text()) for name in names}
    lines = [
        "| cohort | patients | with PET | nodes, benign / metastatic | N0 / N1 / N2a / N2b / N3 |",
        "|---|---|---|---|---|",
    ]
    for name, summary in summaries.items():
        categories = " / ".join(str(summary["n_categories"].get(one, 0)) for one in ("N0", "N1", "N2a", "N2b", "N3"))
        nodes = f"{summary['nodes'] - summary['metastatic']} / {summary['metastatic']}"
        lines.append(f"| {name} | {summary['patients']} | {summary['pet']} | {nodes} | {categories} |")
    stations = sorted({station for summary in summaries.values() for station in summary["stations"]})
    lines += ["", "Nodes by station, benign / metastatic:", "", "| cohort | " + " | ".join(stations) + " |"]
    lines.append("|---|" + "---|" * len(stations))
    for name, summary in summaries.items():
        cells = [" / ".join(map(str, summary["stations"].get(station, [0, 0]))) for station in stations]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    readers = {
        "exact, whole patient": "oracle_in_patient_auroc",
        "exact, one node": "oracle_auroc",
        "logistic regression": "logistic_auroc",
        "voxel reader": "voxel_reader_true_auroc",
        "short axis": "short_axis_auroc",
        "voxel reader, labels": "voxel_reader_auroc",
    }
    lines += [
        "",
        "AUROC of metastasis over all nodes, against the true state; the last column against the labels of the table:",
        "",
        "| cohort | " + " | ".join(readers) + " |",
        "|---|" + "---|" * len(readers),
    ]
    for name, summary in summaries.items():
        lines.append(f"| {name} | " + " | ".join(figure(summary[key]) for key in readers.values()) + " |")
    lines += [
        "",
        "The same on the test patients, against the labels of the table. The voxel reader has learned from four fifths of all other patients, the "
        "network from the training patients:",
        "",
        "| cohort | exact, one node | voxel reader | short axis | network | network + measures | region accuracy of the network (majority) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        found = test_nodes(root / name)
        label = [row["metastasis"] == 1 for _, row in found]
        patients = [patient for (patient, _), _ in found]
        cells = []
        for score in (
            lambda node: node["posterior"],
            lambda node: node["voxel_reader"],
            lambda node: node["appearance"]["short_axis_mm"],
        ):
            scores = [score(node) for (_, node), _ in found]
            cells.append(figure(auroc(scores, label), interval(scores, label, patients)))
        lines.append(f"| {name} | " + " | ".join(cells + trained(root / name)) + " |")
    text = "\n".join(lines)
    between_marks.write(out, "cohorts", text)
    print(text)


main()
