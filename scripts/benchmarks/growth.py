"""docs/benchmarks/growth.md: how steps per second and peak memory grow with batch, patch, tasks and experts.

Called by scripts/benchmarks/growth.sh with the compiled example, the profile, the number of rounds and the seconds of a round. All settings run in turn, each in
a process of its own, round after round.
"""

import datetime
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

# Batch, patch, tasks, shared and private experts: the defaults of the trainer.
DEFAULT = (32, (12, 44, 44), 3, (3, 2))
# What is varied: its name, the values, the place in a setting, the quantity that an exponent refers to.
SERIES = [
    ("batch", [8, 16, 32, 64], 0, lambda value: value),
    ("patch", [(6, 22, 22), (12, 44, 44), (18, 66, 66), (24, 88, 88)], 1, math.prod),
    ("tasks", [1, 3, 8], 2, lambda value: value),
    ("experts", [(1, 1), (2, 2), (4, 4), (8, 8)], 3, lambda value: value[0]),
]
# Exponents above this are a surprise: rounding and caches make a little more than 1.
SUPERLINEAR = 1.1


def setting(place, value):
    sizes = list(DEFAULT)
    sizes[place] = value
    return tuple(sizes)


def measure(program, kind, sizes, seconds):
    batch, patch, tasks, experts = sizes
    command = [program, kind, *map(str, (batch, *patch, tasks, *experts, seconds))]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def summary(answers):
    times = [value for answer in answers for value in answer["milliseconds"]]
    return {
        "ms": statistics.median(times),
        "range": (min(times), max(times)),
        # The least of all rounds: other programs only ever add to it.
        "processor": min(answer["processor_ms"] for answer in answers),
        "memory": max(answer["memory_mib"] for answer in answers),
        "memory_range": [round(edge(answer["memory_mib"] for answer in answers)) for edge in (min, max)],
        "parameters": answers[0]["parameters"],
    }


def exponent(sizes, values):
    """Slope of the straight line through the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def written(value):
    return " × ".join(map(str, value)) if len(value) == 3 else f"{value[0]} + {value[1]}"


def table(kind, results):
    title = {"slices": "Default backbone, 2.5-D", "volume": "3-D backbone"}[kind]
    lines = [
        f"## {title}\n",
        "| varied | value | steps/s | ms | range | processor ms | MiB | parameters | exponent of time | of memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    surprises, fits = [], []
    for name, values, place, quantity in SERIES:
        found = [results[kind, setting(place, value)] for value in values]
        sizes = [quantity(value) for value in values]
        for at, (value, row) in enumerate(zip(values, found)):
            local = "| | |"
            if at:
                pair = slice(at - 1, at + 1)
                time_, processor, memory = (
                    exponent(sizes[pair], [each[key] for each in found[pair]]) for key in ("ms", "processor", "memory")
                )
                local = f"| {time_:.2f} ({processor:.2f}) | {memory:.2f} |"
                # Both measures must say so: the clock alone also sees the neighbours.
                if min(time_, processor) > SUPERLINEAR:
                    surprises.append(f"time from {name} {sizes[at - 1]} to {sizes[at]} ({time_:.2f}, {processor:.2f})")
                if memory > SUPERLINEAR:
                    surprises.append(f"memory from {name} {sizes[at - 1]} to {sizes[at]} ({memory:.2f})")
            shown = written(value) if isinstance(value, tuple) else value
            span = f"{row['range'][0]:.0f}–{row['range'][1]:.0f}"
            lines.append(
                f"| {name} | {shown} | {1e3 / row['ms']:.1f} | {row['ms']:.1f} | {span} | {row['processor']:.0f} "
                f"| {row['memory']:.0f} | {row['parameters']} {local}"
            )
        slopes = [exponent(sizes, [row[key] for row in found]) for key in ("ms", "processor", "memory")]
        fits.append(f"{name} {slopes[0]:.2f} ({slopes[1]:.2f}), memory {slopes[2]:.2f}")
    lines.append(f"\nOver each whole series: {'; '.join(fits)}.")
    lines.append(
        f"\nSuperlinear (above {SUPERLINEAR} by the clock and by processor time, or in memory): "
        + ("; ".join(surprises) if surprises else "nothing") + "."
    )
    return "\n".join(lines) + "\n"


def main(program, profile, rounds, seconds):
    begin, load = time.time(), os.getloadavg()[0]
    settings = [(kind, sizes) for kind in ("slices", "volume") for sizes in
                dict.fromkeys(setting(place, value) for _, values, place, _ in SERIES for value in values)]
    answers = {each: [] for each in settings}
    for _ in range(rounds):
        for kind, sizes in settings:
            answers[kind, sizes].append(measure(program, kind, sizes, seconds))
    results = {each: summary(rows) for each, rows in answers.items()}
    minutes = (time.time() - begin) / 60
    text = f"""# How a step grows

Written by `make growth` on {datetime.date.today()}: profile {profile}, {os.cpu_count()} processors, load {load:.1f} before and {os.getloadavg()[0]:.1f} after {minutes:.0f}
minutes.

Whole training steps of MT-IDS (`f32`, DD-GB at the boundary). One size is varied, the others stay at batch 32, patches of 12 × 44 × 44,
3 tasks, 3 shared and 2 private experts. Each setting ran {rounds} times in a process of its own, all in turn. Milliseconds: median and range of all
steps; processor time: over all threads, the least of the rounds; MiB: largest resident memory of a process, which the program
itself and its first steps are part of. An exponent p says that time or memory grows as sizeᵖ from the row above to this one (in
brackets by processor time); patches count in voxels, experts (shared + private of each task) by either number.

"""
    text += "\n".join(table(kind, results) for kind in ("slices", "volume"))
    (pathlib.Path(__file__).parents[2] / "docs/benchmarks/growth.md").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
