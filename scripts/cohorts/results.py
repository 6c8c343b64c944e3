"""What the network reaches on the standing cohorts, for each seed of the training: the table of docs/results/cohorts.md.

Arguments: folder of the cohorts, page to write into. Every figure is copied from a run's own evaluation.json; only means over seeds are made here.
Rows of a cohort without a run in the folder stay as they are: the cohorts need not be measured on one machine.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import between_marks

COHORTS = ("easy", "realistic", "hard", "no-signal", "pet")


def signed(value):
    return f"{value:+.3f}".replace("-", "−")


def bounds(found):
    return f"[{found['low']:.3f}–{found['high']:.3f}]"


def reader(evaluation, name):
    """AUROC of a reader with its interval."""
    one = next((one for one in evaluation["readers"]["figures"] if one["reader"] == name), None)
    if one is None or one["auroc"] is None:
        return None, "–"
    return one["auroc"], f"{one['auroc']:.3f} {bounds(one['interval'])}"


def difference(evaluation, first, second):
    """Difference of two readers on the same samples, with its paired interval."""
    for one in evaluation["readers"]["comparisons"]:
        if (one["first"], one["second"]) == (first, second) and one["difference"]:
            interval = one["difference"]["interval"]
            return f"{signed(one['difference']['value'])} [{signed(interval['low'])}, {signed(interval['high'])}]"
    return "–"


def pooled(evaluation, dimension, metric):
    for head in evaluation["measured"]["heads"]:
        if head["head"] == "pooled":
            for one in head["figures"]:
                if (one["dimension"], one["metric"]) == (dimension, metric):
                    return one["value"]
    return None


def named(run):
    """Settings and seed of a run folder: run-SEED, or run-SETTING-SEED."""
    setting, _, seed = run.name.removeprefix("run-").rpartition("-")
    return setting or "train", int(seed)


def row(run):
    folder, (setting, seed) = run.parent, named(run)
    evaluation = json.loads((run / "evaluation.json").read_text())
    network, network_text = reader(evaluation, "network")
    fusion, fusion_text = reader(evaluation, "fusion")
    region = pooled(evaluation, "region", "accuracy")
    seconds = sum(int(line) for line in (folder / run.name.replace("run-", "seconds-")).read_text().split())
    patients = evaluation["measured"]["patients"]
    weights = sorted((run / "checkpoints").glob("step-*/weights.safetensors"))[-1]
    digests = [evaluation["dataset_digest"], evaluation["config_digest"], hashlib.sha256(weights.read_bytes()).hexdigest()]
    cells = [
        folder.name,
        f"`{setting}`",
        str(seed),
        str(patients),
        reader(evaluation, "ruler")[1],
        network_text,
        difference(evaluation, "network", "ruler"),
        fusion_text,
        difference(evaluation, "fusion", "network"),
        f"{region:.3f}",
        f"{seconds / 60:.0f}",
        " ".join(f"`{digest[:8]}`" for digest in digests),
    ]
    return cells, (network, fusion, region)


def main():
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    heads = ("cohort", "settings", "seed", "test patients", "short axis", "network", "network − short axis", "network + measures", "with − without measures")
    heads += ("region accuracy", "minutes", "dataset, configuration, weights")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    before = page.read_text(encoding="utf-8").splitlines()
    for cohort in COHORTS:
        runs = sorted((path.parent for path in folder.glob(f"{cohort}/run-*/evaluation.json")), key=named)
        if not runs:
            lines += [line for line in before if line.startswith(f"| {cohort} | `")]
        for setting in dict.fromkeys(named(run)[0] for run in runs):
            rows = [row(run) for run in runs if named(run)[0] == setting]
            lines += ["| " + " | ".join(cells) + " |" for cells, _ in rows]
            if len(rows) > 1:
                network, fusion, region = (sum(found) / len(found) for found in zip(*(values for _, values in rows), strict=True))
                means = [cohort, f"`{setting}`", "mean", "", "", f"**{network:.3f}**", "", f"{fusion:.3f}", "", f"{region:.3f}", "", ""]
                lines.append("| " + " | ".join(means) + " |")
    text = "\n".join(lines)
    between_marks.write(page, "cohorts", text)
    print(text)


main()
