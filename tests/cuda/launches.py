"""Launches of a training step on a dry card, of the form with cuDNN and our kernels and of the form of candle's operations.

Called by launches.sh with the two compiled programs `card_step`. Fails where a network takes one launch more than launches.json says, more than a quarter of
the composed form, or more with more experts or, beyond the heads, more tasks. With `write` it writes launches.json.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# What differs from the default network, by name.
CASES = {
    "slices": ["kind=slices"],
    "volume": ["kind=volume"],
    "slices, more experts": ["kind=slices", "shared=6", "private=4"],
    "slices, 8 tasks": ["kind=slices", "tasks=8"],
    "slices, equal sum": ["kind=slices", "rule=equal-sum"],
    "slices, bf16": ["kind=slices", "precision=bf16"],
}


def count(program, arguments):
    with tempfile.NamedTemporaryFile() as log:
        environment = dict(os.environ, MTIDS_DRY_LOG=log.name)
        command = [program, "batch=4", "steps=1", *arguments]
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def main(ours, composed, write):
    found = {}
    for name, arguments in CASES.items():
        step = count(ours, arguments)
        found[name] = {"launches": step["launches"], "composed": count(composed, arguments)["launches"]}
        print(f"{name}: {found[name]['launches']} launches, composed {found[name]['composed']}", flush=True)
        if os.environ.get("BY_NAME"):
            for kernel, times in sorted(step["by_name"].items(), key=lambda entry: -entry[1]):
                print(f"    {times:5} {kernel}")
    if write:
        (HERE / "launches.json").write_text(json.dumps(found, indent=2) + "\n")
        return 0
    expected = json.loads((HERE / "launches.json").read_text())
    now = {name: step["launches"] for name, step in found.items()}
    before = {name: step["launches"] for name, step in expected.items()}
    wrong = [f"{name}: {now[name]} launches, and there were {before[name]}" for name in CASES if now[name] > before[name]]
    if now["slices, more experts"] > now["slices"]:
        wrong.append("more experts take more launches")
    wrong += [f"{name}: more than a quarter of the composed form" for name in CASES if 4 * found[name]["launches"] > found[name]["composed"]]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["write"]))
