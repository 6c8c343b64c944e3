"""Runs the lines of docs/guide/pytorch.md that need no PyTorch, as they stand there, in the order of the page.

    python tests/python/guide_blocks.py PAGE

The current folder has what the page names: out/demo/dataset, out/demo/run, studies, points.csv. Called by `make check-wheel`; the block on the DataLoader
runs in `make check-torch-package`.
"""

import re
import sys
from pathlib import Path

import numpy

blocks = re.findall(r"^```python\n(.*?)^```", Path(sys.argv[1]).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
plain = [block for block in blocks if "torch" not in block]
assert len(plain) == len(blocks) - 1, f"{len(blocks)} blocks, {len(plain)} of them without PyTorch"
gradients = numpy.random.default_rng(1).normal(size=(2, 50))
said = {"gradients": gradients, "losses": numpy.array([0.7, 1.2])}
for block in plain:
    exec(compile(block, sys.argv[1], "exec"), said)

rows, nodes = said["index"].height, [node for patient in said["answer"]["patients"] for node in patient["nodes"]]
assert rows == len(said["dataset"]) > 0 and said["near"].dtype == said["patch"].voxels.dtype == numpy.int16
assert said["update"].shape == (50,) and numpy.isfinite(said["update"]).all()
assert nodes and Path("answer").is_dir()
print(f"the lines of the guide run: {rows} rows, {len(nodes)} nodes answered")
