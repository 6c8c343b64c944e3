"""Rows per second of the stream through Python beside Rust, in one run. Called by `make bench-package`; no test depends on it.

Arguments: dataset, program `rust-reference` of the same profile as the module, rounds. Both open the dataset, stream the split `train` once in
batches of 32 with two reader threads, and look at no voxel. Rounds alternate, so that what else the machine does meets both.
"""

import statistics
import subprocess
import sys
import time

import mtids

path, program, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])


def python(epoch):
    began = time.perf_counter()
    rows = sum(len(batch) for batch in mtids.Stream(mtids.open(path), "train", 32, 1, epoch))
    return rows / (time.perf_counter() - began)


def rust(epoch):
    arguments = [program, "drain", path, "train", "32", "1", str(epoch)]
    rows, seconds = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()
    return int(rows) / float(seconds)


pairs = [(python(epoch), rust(epoch)) if epoch % 2 else tuple(reversed((rust(epoch), python(epoch)))) for epoch in range(rounds + 1)][1:]
for name, speeds in zip(("Python", "Rust"), zip(*pairs, strict=True), strict=True):
    print(f"{name}: {statistics.median(speeds):.0f} rows/s [{min(speeds):.0f}, {max(speeds):.0f}]")
ratios = sorted(python / rust for python, rust in pairs)
print(f"Python / Rust: {statistics.median(ratios):.3f} [{ratios[0]:.3f}, {ratios[-1]:.3f}] in {rounds} rounds")
