"""An audit of many rows beside pandas' group-bys, in turn: a table for docs/results/audit.md.

Arguments: the program, its profile, a dataset, rounds. Called with `peer INDEX` alone it is the peer: counts of rows and patients by ten groupings that
the report has too, and a description of the short axis. The peer does no check, no interval, no measure, no page.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

GROUPINGS = [
    ["split"],
    ["region_name"],
    ["region_name", "split"],
    ["station"],
    ["evidence", "level"],
    ["manufacturer", "model", "kernel"],
    ["contrast"],
    ["site"],
    ["region_name", "site"],
    ["slice_thickness_mm", "metastasis"],
]


def peer(index):
    import pandas as pd

    columns = sorted({name for keys in GROUPINGS for name in keys} | {"patient_key", "metastasis", "short_axis_mm"})
    table = pd.read_parquet(index, columns=columns)
    for keys in GROUPINGS:
        table.groupby(keys, dropna=False, observed=True).agg(rows=("patient_key", "size"), patients=("patient_key", "nunique"))
    table.groupby("metastasis")["short_axis_mm"].describe()


def measured(command):
    """Seconds on the wall, seconds of processors, largest resident memory in GiB."""
    import time

    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def line(name, runs):
    walls, processors, memory = zip(*runs)
    spread = f"{statistics.median(walls):.1f} [{min(walls):.1f}, {max(walls):.1f}]"
    return f"| {name} | {spread} | {statistics.median(processors):.0f} | {max(memory):.2f} |"


def main():
    program, profile, dataset, rounds = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4])
    manifest = json.loads((dataset / "manifest.json").read_text())
    index = dataset / next(entry for entry in manifest["files"] if entry["name"] == "index.parquet")["path"]
    ours, theirs, ratios = [], [], []
    with tempfile.TemporaryDirectory() as out:
        report = [program, "report", str(dataset), "--out", out, "--tables", "csv", "--set", "fail_on=never"]
        for _ in range(rounds):
            ours.append(measured(report))
            theirs.append(measured([sys.executable, __file__, "peer", str(index)]))
            ratios.append(ours[-1][0] / theirs[-1][0])
        found = json.loads((pathlib.Path(out) / "audit.json").read_text())
        page = (pathlib.Path(out) / "audit.html").stat().st_size / 1e6
    rows, patients = found["overall"]["rows"], found["overall"]["patients"]
    print(f"{rows:,} findings of {patients:,} patients, {os.cpu_count()} processors, profile {profile}, {rounds} rounds in turn; the page has {page:.2f} MB")
    print("\n| | seconds, median [least, most] | seconds of processors | largest memory, GiB |\n|---|---|---|---|")
    print(line("`mtids-audit report`, all checks, tables and pages", ours))
    print(line("pandas, ten group-bys", theirs))
    print(f"\nOurs over pandas: {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        peer(sys.argv[2])
    else:
        main()
