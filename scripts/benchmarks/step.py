"""A whole training step of the default backbone: ours, plain candle, and the same network in PyTorch, in turn.

Called by scripts/benchmarks/layers.sh with the folder of the compiled examples. Prints lines of a Markdown table: median and
range of all steps in milliseconds, processor time of a step (which leaves out waiting for others on a busy machine; the least of
all rounds), and the largest resident memory. PyTorch runs eagerly, in both memory layouts, with one
and with as many threads as there are processors; the best of these is the peer.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

BATCH, INPUT, CLASSES = 32, (1, 12, 44, 44), 8
STEPS, WARM_UP = 6, 3


class Unit(nn.Module):
    def __init__(self, volume, inputs, outputs, kernel, stride, rectify):
        super().__init__()
        convolution = nn.Conv3d if volume else nn.Conv2d
        self.conv = convolution(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.GroupNorm(8, outputs)
        self.rectify = rectify

    def forward(self, x):
        x = self.norm(self.conv(x))
        return nn.functional.relu(x, inplace=True) if self.rectify else x


class Block(nn.Module):
    def __init__(self, volume, inputs, outputs, stride):
        super().__init__()
        self.first = Unit(volume, inputs, outputs, 3, stride, True)
        self.second = Unit(volume, outputs, outputs, 3, 1, True)
        changes = inputs != outputs
        self.shortcut = Unit(volume, inputs, outputs, 1, stride, False) if changes else nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + self.second(self.first(x))


class Network(nn.Module):
    def __init__(self, volume):
        super().__init__()
        self.volume = volume
        channels, depth = INPUT[0], INPUT[1]
        halve = [2, 2, 2] if volume else [2, 2]
        # A depth below 4 is not halved any more: 12 → 6 → 3 → 3.
        last = [1, 2, 2] if volume else [2, 2]
        self.body = nn.Sequential(
            Unit(volume, channels if volume else channels * depth, 24, 3, halve, True),
            Block(volume, 24, 24, 1),
            Block(volume, 24, 48, halve),
            Block(volume, 48, 96, last),
        )
        self.pool = (nn.AdaptiveAvgPool3d if volume else nn.AdaptiveAvgPool2d)(3)
        self.features = nn.Linear(96 * (27 if volume else 9), 64)
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x):
        return self.head(self.norm(self.features(self.pool(self.body(x)).flatten(1))))


def layout(volume, last):
    if not last:
        return torch.contiguous_format
    return torch.channels_last_3d if volume else torch.channels_last


def pytorch(volume, last, threads, steps):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    network = Network(volume).to(memory_format=layout(volume, last))
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=1e-2, fused=True)
    x = torch.randn(BATCH, *INPUT)
    x = x if volume else x.reshape(BATCH, -1, *INPUT[2:])
    x = x.to(memory_format=layout(volume, last))
    labels = torch.arange(BATCH) % CLASSES
    times, processor = [], 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            processor = time.process_time()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        loss.item()
        if step >= WARM_UP:
            times.append((time.perf_counter() - start) * 1e3)
    return times, (time.process_time() - processor) / steps * 1e3


def child(kind, last, threads, steps):
    """PyTorch in a process of its own, as ours, so that memory is its own too."""
    times, processor = pytorch(kind == "volume", last == "1", int(threads), int(steps))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"milliseconds": times, "processor_ms": processor, "memory_mib": memory}))


def run(command, threads=None):
    environment = dict(os.environ)
    if threads:
        environment["RAYON_NUM_THREADS"] = str(threads)
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main(programs, rounds=5, counts=None):
    processors = os.cpu_count()
    counts = counts or sorted({1, processors})
    print("| step | runner | median ms | range | processor ms | MiB |\n|---|---|---|---|---|---|")
    for kind in ("slices", "volume"):
        runners = {}
        for threads in counts:
            runners[f"ours, {threads} threads"] = ([f"{programs}/step", kind, "ours", str(STEPS)], threads)
            for last in (0, 1):
                name = f"PyTorch {torch.__version__}, {threads} threads, channels {'last' if last else 'first'}"
                runners[name] = ([sys.executable, __file__, "child", kind, str(last), str(threads), str(STEPS)], None)
        runners[f"candle 0.11.1, {counts[-1]} threads"] = ([f"{programs}/step", kind, "candle", "2"], counts[-1])
        results = {name: [] for name in runners}
        memory = {name: 0 for name in runners}
        processor = {name: float("inf") for name in runners}
        for _ in range(rounds):
            for name, (command, threads) in runners.items():
                answer = run(command, threads)
                results[name] += answer["milliseconds"]
                processor[name] = min(processor[name], answer["processor_ms"])
                memory[name] = max(memory[name], answer["memory_mib"])
        medians = {name: statistics.median(times) for name, times in results.items()}
        for name, times in results.items():
            span = f"{min(times):.0f} to {max(times):.0f}"
            print(f"| {kind} | {name} | {medians[name]:.0f} | {span} | {processor[name]:.0f} | {memory[name]} |")
        for over, under in (("ours", "PyTorch"), ("candle", "ours")):
            ratios = []
            for measure in (medians, processor):
                least = {who: min(v for k, v in measure.items() if k.startswith(who)) for who in (over, under)}
                ratios.append(least[over] / least[under])
            print(f"| {kind} | {over} ÷ {under} | {ratios[0]:.2f} | | {ratios[1]:.2f} | |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(*sys.argv[2:])
    else:
        # Folder of the programs, then optionally how many rounds and which numbers of threads.
        given = [int(number) for number in sys.argv[2:]]
        main(sys.argv[1], *given[:1], *([given[1:]] if given[1:] else []))
