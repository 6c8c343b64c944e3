"""Forward and backward pass of the default trunks, batch 64, f32, batch norm in training: ours beside PyTorch on the CPU, in turn.

Called by scripts/benchmarks/trunks.sh with the folder of the compiled examples. The networks are those of the example `trunks` of mtids-layers.
PyTorch runs eagerly in both memory layouts, the better one is the peer; both sides run with as many threads as there are processors. Prints a
Markdown table: medians and ranges of all passes in milliseconds. The ratio is the median over rounds, because neighbours share the noise of a machine.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCH, PASSES = 64, 3
# Name: channels, size, widths, stride of the stem, first stage that halves the depth, cells of the pooling.
TRUNKS = {
    "near-slices": (16, (32, 32), (32, 64, 128, 256), 1, 0, 1),
    "wide-slices": (32, (40, 40), (32, 64, 64), 2, 0, 2),
    "near-volume": (2, (8, 32, 32), (16, 32, 64, 128), 1, 2, 1),
}


class Block(nn.Module):
    def __init__(self, conv, norm, inputs, outputs, stride):
        super().__init__()
        self.first, self.first_norm = conv(inputs, outputs, 3, stride, 1, bias=False), norm(outputs)
        self.second, self.second_norm = conv(outputs, outputs, 3, 1, 1, bias=False), norm(outputs)
        changes = inputs != outputs or set(stride) != {1}
        self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride, bias=False), norm(outputs)) if changes else nn.Identity()

    def forward(self, x):
        y = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(self.shortcut(x) + y)


class Trunk(nn.Module):
    def __init__(self, channels, size, widths, stem, halved_from, grid):
        super().__init__()
        deep = len(size) == 3
        conv, norm = (nn.Conv3d, nn.BatchNorm3d) if deep else (nn.Conv2d, nn.BatchNorm2d)

        def stride(step, halves_depth):
            return ((step if halves_depth else 1,) if deep else ()) + (step, step)

        layers = [conv(channels, widths[0], 3, stride(stem, halved_from == 0), 1, bias=False), norm(widths[0]), nn.ReLU()]
        inputs = widths[0]
        for stage, outputs in enumerate(widths):
            for block in range(2):
                step = stride(2, stage >= halved_from) if stage > 0 and block == 0 else stride(1, True)
                layers.append(Block(conv, norm, inputs, outputs, step))
                inputs = outputs
        self.body = nn.Sequential(*layers)
        self.pool = (nn.AdaptiveAvgPool3d if deep else nn.AdaptiveAvgPool2d)(grid)

    def forward(self, x):
        return self.pool(self.body(x))


def ours(programs, name, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    command = [f"{programs}/trunks", name, str(PASSES)]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(answer)["milliseconds"]


def pytorch(name, layout):
    channels, size, *_ = TRUNKS[name]
    network = Trunk(*TRUNKS[name]).to(memory_format=layout)
    x = torch.randn(BATCH, channels, *size).to(memory_format=layout)
    times = []
    for _ in range(PASSES + 1):
        network.zero_grad()
        start = time.perf_counter()
        network(x).square().sum().backward()
        times.append((time.perf_counter() - start) * 1e3)
    return times[1:]


def show(times):
    return f"{statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f})"


def main(programs, rounds=5, names=",".join(TRUNKS)):
    threads = os.cpu_count()
    torch.set_num_threads(threads)
    print(f"| trunk, batch {BATCH}, {threads} threads | ours, ms | PyTorch {torch.__version__}, ms | ours ÷ PyTorch |\n|---|---|---|---|")
    for name in names.split(","):
        last = torch.channels_last_3d if len(TRUNKS[name][1]) == 3 else torch.channels_last
        mine, theirs = [], {torch.contiguous_format: [], last: []}
        for _ in range(int(rounds)):
            mine.append(ours(programs, name, threads))
            for layout, times in theirs.items():
                times.append(pytorch(name, layout))
        best = min(theirs.values(), key=lambda rounds: statistics.median(sum(rounds, [])))
        ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(mine, best)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {show(sum(mine, []))} | {show(sum(best, []))} | {ratio} |", flush=True)


if __name__ == "__main__":
    # Folder of the programs, then optionally how many rounds and which trunks.
    main(*sys.argv[1:])
