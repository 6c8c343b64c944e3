"""Launches of a training step on a dry card, of the form with cuDNN and our kernels and of the form of candle's operations.

Called by launches.sh with the two compiled programs `card_step`. Fails where a network takes one launch more than launches.json says, more than a quarter of
the composed form, or more with more experts or, beyond the heads, more tasks; where a program with our kernels makes an event or leaves the card's pool to give
its memory back; and where cuDNN is asked for an algorithm that transforms its operands, which the dry card offers first. With `write` it writes launches.json.
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
    "slices, averaged": ["kind=slices", "average=0.999"],
}


def count(program, arguments):
    with tempfile.NamedTemporaryFile() as log:
        environment = dict(os.environ, MTIDS_DRY_LOG=log.name)
        command = [program, "batch=4", "steps=1", *arguments]
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        lines = pathlib.Path(log.name).read_text().splitlines()
    return json.loads(answer.stdout) | {"all_events": sum(line.startswith("event: ") for line in lines), "pool": "pool: threshold" in lines}


def problems_of(name, step, composed):
    """What is wrong with a step of our form beside the number of its launches."""
    if step["all_events"]:
        yield f"{name}: {step['all_events']} calls for events"
    if not composed["events"]:
        yield f"{name}: candle's operations make no events, so nothing is known of ours"
    if not step["pool"]:
        yield f"{name}: the card's pool gives its memory back"
    if not step["plans"]:
        yield f"{name}: no plan of a convolution"
    if "precision=bf16" not in CASES[name]:
        yield from (f"{name}: {plan}" for plan in step["plans"] if "FFT" in plan or "WINOGRAD" in plan)


def main(ours, composed, write):
    found, wrong = {}, []
    for name, arguments in CASES.items():
        step, theirs = count(ours, arguments), count(composed, arguments)
        found[name] = {"launches": step["launches"], "composed": theirs["launches"]}
        wrong += problems_of(name, step, theirs)
        print(
            f"{name}: {step['launches']} launches and {step['events']} events, composed {theirs['launches']} and {theirs['events']};"
            f" {len(step['plans'])} plans, {step['peak_bytes']['used'] >> 20} MiB at the highest",
            flush=True,
        )
        if os.environ.get("BY_NAME"):
            for kernel, times in sorted(step["by_name"].items(), key=lambda entry: -entry[1]):
                print(f"    {times:5} {kernel}")
    if write and not wrong:
        (HERE / "launches.json").write_text(json.dumps(found, indent=2) + "\n")
        return 0
    expected = json.loads((HERE / "launches.json").read_text())
    now = {name: step["launches"] for name, step in found.items()}
    before = {name: step["launches"] for name, step in expected.items()}
    wrong += [f"{name}: {now[name]} launches, and there were {before[name]}" for name in CASES if now[name] > before[name]]
    if now["slices, more experts"] > now["slices"]:
        wrong.append("more experts take more launches")
    wrong += [f"{name}: more than a quarter of the composed form" for name in CASES if 4 * found[name]["launches"] > found[name]["composed"]]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["write"]))
