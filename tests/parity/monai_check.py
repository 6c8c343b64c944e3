"""Runs a MONAI bundle of a trained network and compares its answers with those of an evaluation.

    python tests/parity/monai_check.py PROGRAM RUN DATASET

Evaluates the run on the test split, exports a bundle, executes it by `python -m monai.bundle run` without a network, and prints the largest difference.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import monai
import onnxruntime

program, run, dataset = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()


def table(path):
    with path.open(newline="") as file:
        return {row["sample_key"]: row for row in csv.DictReader(file)}


with tempfile.TemporaryDirectory() as folder:
    bundle = Path(folder) / "bundle"
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([program, "evaluate", "--run", str(run), "--dataset", str(dataset)], **quiet)
    subprocess.run([program, "export", "--run", str(run), "--monai", str(bundle)], **quiet)
    # A proxy that nobody answers: a download would fail.
    offline = os.environ | {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    subprocess.run([*command, "--dataset_dir", str(dataset)], check=True, cwd=bundle, env=offline)
    answers, expected = table(bundle / "eval/answers.csv"), table(run / "predictions.csv")

assert answers.keys() == expected.keys(), (len(answers), len(expected))
worst = 0.0
for key, row in expected.items():
    numbers = [float(value) for name, value in row.items() if name.startswith("p_")]
    found = [float(value) for name, value in answers[key].items() if name not in ("sample_key", "metastasis_calibrated")]
    assert len(found) == len(numbers), (list(row), list(answers[key]))
    worst = max(worst, *(abs(a - b) for a, b in zip(found, numbers, strict=True)))
assert worst <= 1e-5, worst
print(f"MONAI {monai.__version__}, onnxruntime {onnxruntime.__version__}: {len(answers)} rows, largest difference {worst:.1e}")
