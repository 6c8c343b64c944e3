"""Reads an event file of `mtids-train track` with TensorBoard's own reader and compares it with the logs of the run.

Arguments: folder of the event file, folder of the run. Prints `<tags> tags, <steps> steps`, or fails with what differs.
"""

import json
import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events, run = Path(sys.argv[1]), Path(sys.argv[2])
accumulator = EventAccumulator(str(events), size_guidance={"scalars": 0})
accumulator.Reload()
tags = accumulator.Tags()["scalars"]
losses = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
for task in losses[0]["losses"]:
    known = [(line["step"], line["losses"][task]) for line in losses if line["losses"][task] is not None]
    read = [(event.step, event.value) for event in accumulator.Scalars(f"loss/{task}")]
    assert [step for step, _ in read] == [step for step, _ in known], task
    assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for (_, a), (_, b) in zip(read, known, strict=True)), task
rates = [event.value for event in accumulator.Scalars("optimizer/learning_rate")]
assert all(math.isclose(a, line["learning_rate"], rel_tol=1e-6) for a, line in zip(rates, losses, strict=True))
times = [event.wall_time for event in accumulator.Scalars("optimizer/learning_rate")]
assert times == sorted(times) and times[-1] > 0
assert "validation/macro_f1" in tags
print(f"{len(tags)} tags, {len(losses)} steps")
