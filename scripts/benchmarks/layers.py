"""Convolutions, forward and backward, batch 32, f32, 3 x 3, stride 1: ours beside PyTorch on the CPU, in turn.

Called by scripts/benchmarks/layers.sh with the folder of the compiled examples. PyTorch runs in both memory layouts; ours and PyTorch
run with one and with as many threads as there are processors, and the best median of each is compared. Prints a Markdown table
of medians and ranges in milliseconds. Candle's own convolution is compared by the example `layers` itself.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import torch

SHAPES = ((3, 32, 64), (32, 32, 64), (64, 64, 32), (128, 128, 16), (256, 256, 8))
BATCH, PASSES = 32, 4


def ours(programs, shape, threads):
    command = [f"{programs}/layers", *map(str, shape), str(PASSES)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(answer)["milliseconds"]


def pytorch(shape, threads, layout):
    inputs, outputs, side = shape
    torch.set_num_threads(threads)
    x = torch.randn(BATCH, inputs, side, side).to(memory_format=layout).requires_grad_(inputs != 3)
    weight = torch.randn(outputs, inputs, 3, 3).to(memory_format=layout).requires_grad_()
    times = []
    for _ in range(PASSES + 1):
        x.grad = weight.grad = None
        start = time.perf_counter()
        y = torch.nn.functional.conv2d(x, weight, padding=1)
        y.backward(torch.ones_like(y))
        times.append((time.perf_counter() - start) * 1e3)
    return times[1:]


def show(times):
    return f"{statistics.median(times):.1f} ({min(times):.1f} to {max(times):.1f})"


def main(programs, rounds=5, counts=None):
    counts = counts or sorted({1, os.cpu_count()})
    print(f"| convolution | ours, ms | PyTorch {torch.__version__}, ms | ours ÷ PyTorch |\n|---|---|---|---|")
    for shape in SHAPES:
        mine = {threads: [] for threads in counts}
        layouts = (torch.contiguous_format, torch.channels_last)
        theirs = {(threads, layout): [] for threads in counts for layout in layouts}
        for _ in range(rounds):
            for threads in counts:
                mine[threads] += ours(programs, shape, threads)
                for layout in layouts:
                    theirs[threads, layout] += pytorch(shape, threads, layout)
        best, peer = (min(times.values(), key=statistics.median) for times in (mine, theirs))
        ratio = statistics.median(best) / statistics.median(peer)
        inputs, outputs, side = shape
        print(f"| {inputs} → {outputs}, {side} × {side} | {show(best)} | {show(peer)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    # Folder of the programs, then optionally how many rounds and which numbers of threads.
    given = [int(number) for number in sys.argv[2:]]
    main(sys.argv[1], *given[:1], *([given[1:]] if given[1:] else []))
