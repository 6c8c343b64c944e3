"""Runs the PyTorch lines of docs/guide/export.md on a trained network and compares their answers with those of an evaluation.

    python tests/parity/torch_check.py PROGRAM RUN DATASET

Evaluates the run on the test split, exports its weights, and prints the largest difference of a probability. Runs of a 2.5-dimensional
network only: the twins have no other.
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

program, run, dataset = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
root = Path(__file__).resolve().parents[2]
page = (root / "docs/guide/export.md").read_text()
[lines] = re.findall(r"```python\n(.*?)```", page.split("## Safetensors")[1], flags=re.DOTALL)
sys.path.insert(0, str(root / "tests/parity"))

with tempfile.TemporaryDirectory() as folder:
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([program, "evaluate", "--run", run, "--dataset", dataset], **quiet)
    subprocess.run([program, "export", "--run", run, "--safetensors", Path(folder) / "net"], **quiet)
    os.chdir(folder)
    names = {}
    exec(compile(lines, "docs/guide/export.md", "exec"), names)
    os.chdir(root)

with (run / "predictions.csv").open(newline="") as file:
    expected = {row["sample_key"]: row for row in csv.DictReader(file)}
about, classes = names["about"], [name.replace(" ", "_") for name in names["about"]["joint_classes"]]
table = pq.read_table(dataset / "shards/test")
assert set(table["sample_key"].to_pylist()) == set(expected), (table.num_rows, len(expected))
worst = 0.0
for start in range(0, table.num_rows, 64):
    part = table.slice(start, 64)
    rows = []
    for view in about["views"]:
        cells = [np.frombuffer(cell.as_py(), "<i2") for cell in part[f"voxels_{view['name']}"]]
        stored = np.stack(cells).astype(np.float32).reshape(-1, len(view["channels"]), *view["size"])
        rows.append(torch.from_numpy(stored))
    with torch.no_grad():
        found = names["answer"](rows).double()
    known = [[float(expected[key][f"p_{name}"]) for name in classes] for key in part["sample_key"].to_pylist()]
    worst = max(worst, (found - torch.tensor(known, dtype=torch.float64)).abs().max().item())
assert worst <= 1e-5, worst
print(f"PyTorch {torch.__version__}, {about['model']['architecture']}: {table.num_rows} rows, largest difference {worst:.1e}")
