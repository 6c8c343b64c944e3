"""The package in PyTorch: workers, fork and spawn, resumption in the middle, the examples.

Arguments: a dataset of two views, cycles of killed workers. Run by `make check-torch-package`; every check raises where something differs.
"""

import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import mtids
from mtids.torch import StreamDataset

BATCH, SEED = 8, 3
EXAMPLES = Path(__file__).parents[2] / "crates/mtids-python/examples"


def content(batch):
    return {name: values.numpy().tobytes() for name, values in batch.items()}


def whole(dataset, epoch):
    stream = mtids.Stream(dataset, "train", BATCH, SEED, epoch)
    return [{name: voxels.tobytes() for name, voxels in batch.views.items()} for batch in stream]


def views(batch):
    return {name: bytes_ for name, bytes_ in content(batch).items() if name not in ("region", "metastasis")}


def workers(dataset):
    """The same batches for any number of workers, forked or spawned, also where they live on."""
    for context in ("fork", "spawn"):
        for count in range(5):
            data = StreamDataset(dataset, "train", batch_size=BATCH, seed=SEED)
            more = {"multiprocessing_context": context, "persistent_workers": count % 2 == 0} if count else {}
            loader = DataLoader(data, batch_size=None, num_workers=count, **more)
            for epoch in (0, 1):
                data.set_epoch(epoch)
                assert list(map(views, loader)) == whole(dataset, epoch), (context, count, epoch)
    print("workers 0 to 4, forked and spawned: the batches of the stream")


def resumption(dataset):
    """torchdata's loader goes on at every batch, with its own state and with ours."""
    expected = whole(dataset, 1)
    for count in (0, 1, 2, 3):
        for stop in range(0, len(expected), 1 if count < 2 else 3):
            data = StreamDataset(dataset, "train", batch_size=BATCH, seed=SEED)
            data.set_epoch(1)
            loader = StatefulDataLoader(data, batch_size=None, num_workers=count)
            iterator = iter(loader)
            head = [views(next(iterator)) for _ in range(stop)]
            assert head == expected[:stop]
            state = loader.state_dict()
            del iterator
            again = StreamDataset(dataset, "train", batch_size=BATCH, seed=SEED)
            loader = StatefulDataLoader(again, batch_size=None, num_workers=count)
            loader.load_state_dict(state)
            assert list(map(views, loader)) == expected[stop:], (count, stop)
    print("StatefulDataLoader with 0 to 3 workers: goes on at every batch")


def guide(path):
    """The block of docs/guide/pytorch.md on the DataLoader, as it stands there."""
    page = (Path(__file__).parents[2] / "docs/guide/pytorch.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "DataLoader" in block)
    said = {"dataset": mtids.open(path)}
    exec(compile(block, "pytorch.md", "exec"), said)
    assert said["batch"]["near"].dtype == torch.int16 and said["epoch"] == 9
    print("the lines of the guide run")


def examples(path):
    """The example's losses after an interruption are those of an unbroken run; DD-GB runs in a loop."""
    def lines(checkpoint, *more):
        command = [sys.executable, EXAMPLES / "train_torch.py", path, checkpoint, "--epochs", "2", *more]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    with tempfile.TemporaryDirectory() as folder:
        unbroken = lines(f"{folder}/unbroken")
        for stop in (1, len(unbroken) // 3, len(unbroken) - 2):
            checkpoint = f"{folder}/{stop}"
            assert lines(checkpoint, "--stop-after", str(stop)) + lines(checkpoint) == unbroken, stop
    found = subprocess.run([sys.executable, EXAMPLES / "ddgb_torch.py", path, "--steps", "12"], check=True, capture_output=True, text=True)
    assert len(re.findall(r"^step \d+ losses", found.stdout, re.M)) == 12
    print(f"train_torch.py: {len(unbroken)} losses, the same after an interruption; ddgb_torch.py: 12 steps")


def consume(path, context, count, pipe):
    """A process that trains until it is killed; it says each batch."""
    data = StreamDataset(path, "train", batch_size=BATCH, seed=SEED)
    loader = DataLoader(data, batch_size=None, num_workers=count, multiprocessing_context=context)
    while True:
        for number, batch in enumerate(loader):
            pipe.send((number, batch["near"].sum(dtype=torch.int64).item()))


def kills(path, cycles):
    """Jobs with forked and spawned workers are killed amid an epoch: no process stays, and the next one gives the same batches."""
    expected = [batch.views["near"].astype("int64").sum() for batch in mtids.Stream(mtids.open(path), "train", BATCH, SEED)]
    dice = random.Random(5)
    for cycle in range(cycles):
        ours, theirs = multiprocessing.Pipe()
        # The workers' start is the consumer's affair; it is forked itself, in a session of its own.
        process = multiprocessing.get_context("fork").Process(
            target=consume, args=(path, ("fork", "spawn")[cycle % 2], 1 + cycle % 3, theirs)
        )
        process.start()
        for _ in range(dice.randint(1, 2 * len(expected))):
            assert ours.poll(120), "no batch in two minutes"
            number, total = ours.recv()
            assert total == expected[number], (cycle, number)
        children = descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        # Workers of PyTorch notice that their parent is gone.
        end = {child for child in children if not gone(child)}
        assert not end, f"workers {end} live on"
    print(f"{cycles} jobs with forked and spawned workers killed: the same batches, no worker left")


def descendants(parent):
    path = f"/proc/{parent}/task"
    found = []
    for task in os.listdir(path):
        for child in Path(f"{path}/{task}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def gone(process, seconds=30):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


def quiet():
    """PyTorch warns of more workers than CPUs, once per loader."""
    import warnings

    warnings.filterwarnings("ignore", category=UserWarning)


def main():
    quiet()
    path, cycles = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
    dataset = mtids.open(path)
    workers(dataset)
    resumption(dataset)
    guide(path)
    examples(path)
    kills(path, cycles)


if __name__ == "__main__":
    main()
