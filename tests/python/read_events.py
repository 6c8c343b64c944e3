"""Reads an event file of `mtids-train track` with TensorBoard's own reader and compares it with the logs of the run.

Arguments: folder of the event file, folder of the run. Prints `<tags> tags, <steps> steps, <tags> histograms`, or fails with what differs.
"""

import json
import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.util import tensor_util

events, run = Path(sys.argv[1]), Path(sys.argv[2])
accumulator = EventAccumulator(str(events), size_guidance={"scalars": 0, "histograms": 0})
accumulator.Reload()
tags = accumulator.Tags()["scalars"]
histograms = accumulator.Tags()["histograms"]
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
# Norms and cosines of the tasks' gradients; the share of negative cosines is that of the conflicts.
pairs = [tag for tag in tags if tag.startswith("balancer/cosine/")]
tasks = sorted(losses[0]["losses"])
assert len(pairs) == len(tasks) * (len(tasks) - 1) // 2, pairs
for task in tasks:
    norms = [event.value for event in accumulator.Scalars(f"balancer/gradient_norm/{task}")]
    assert norms and all(norm > 0 for norm in norms), task
for line in losses:
    cosines = line["cosines"].values()
    assert all(-1 <= cosine <= 1 for cosine in cosines), line
    share = sum(cosine < 0 for cosine in cosines) / len(cosines)
    assert math.isclose(share, line["conflicting_share"], abs_tol=1e-12), line
    assert set(line["gradient_norms"]) <= set(tasks)
waiting = [event.value for event in accumulator.Scalars("speed/waiting_share")]
assert len(waiting) == len(losses) and all(0 <= share < 1 for share in waiting)
epochs = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
logged = {}
for line in epochs:
    for task, branches in line.get("gates", {}).items():
        for branch, weights in branches.items():
            logged.setdefault(f"gate/weights/{task}/{branch}", []).append((line["step"], weights))
assert sorted(logged) == sorted(histograms), (sorted(logged), sorted(histograms))
for tag, known in logged.items():
    read = accumulator.Histograms(tag)
    assert [event.step for event in read] == [step for step, _ in known], tag
    for event, (_, weights) in zip(read, known, strict=True):
        value = event.histogram_value
        assert value.num == sum(weights["bins"]) == sum(value.bucket) > 0, (tag, value)
        assert math.isclose(value.sum, weights["sum"], rel_tol=1e-9, abs_tol=1e-12), (tag, value)
        assert (value.min, value.max, value.sum_squares) == (weights["min"], weights["max"], weights["sum_squares"]), tag
        # From the first to the last bin that holds some, whose ends hold the least and the largest weight.
        filled = [bin for bin, count in enumerate(weights["bins"]) if count > 0]
        first, last, width = filled[0], filled[-1], 1 / len(weights["bins"])
        assert list(value.bucket) == weights["bins"][first : last + 1], (tag, value)
        ends = [first * width, *value.bucket_limit]
        assert ends[0] - 1e-6 <= value.min <= ends[1] and ends[-2] <= value.max <= ends[-1] + 1e-6, (tag, value)
# As TensorBoard's own pages see them: histograms of three columns (left, right, count) under the plugin of that name.
pages = PluginEventAccumulator(str(events), tensor_size_guidance={"histograms": 0})
pages.Reload()
assert sorted(pages.PluginTagToContent("histograms")) == sorted(logged)
for tag, known in logged.items():
    shown = [tensor_util.make_ndarray(event.tensor_proto) for event in pages.Tensors(tag)]
    assert [array[:, 2].sum() for array in shown] == [sum(weights["bins"]) for _, weights in known], tag
    assert all((array[:, 0] <= array[:, 1]).all() for array in shown), tag
# A picture of the mean cosines for each epoch, a square of 32 pixels for two tasks.
pictures = pages.PluginTagToContent("images")
(picture,) = pictures
assert picture == "balancer/cosines/" + "-".join(tasks), picture
shown = [tensor_util.make_ndarray(event.tensor_proto) for event in pages.Tensors(picture)]
assert len(shown) == len(epochs)
for array in shown:
    width, height, png = int(array[0]), int(array[1]), array[2]
    assert width == height == 32 * len(tasks) and png.startswith(b"\x89PNG"), (width, height)
print(f"{len(tags)} tags, {len(losses)} steps, {len(histograms)} histograms, {len(shown)} pictures")
