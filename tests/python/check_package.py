"""The Python package beside the libraries in Rust, and beside what reads its tables.

Arguments: a dataset of two views, the program `rust-reference` of mtids-tests. Run by `make check-package` in a fresh environment that has the
wheel, numpy, pyarrow, polars, pandas and duckdb. Every check raises where something differs.
"""

import ctypes
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet

import mtids
from mtids import balance

BATCH, SEED, EPOCH = 8, 3, 2


def voxels(batch):
    """Bytes of a batch, one view behind the other in the order of the dataset."""
    return b"".join(batch.views[name].tobytes() for name in sorted(batch.views))


def index(dataset, path):
    found = pyarrow.table(dataset.index())
    assert found.num_rows == len(dataset), (found.num_rows, len(dataset))
    frames = {
        "polars": polars.DataFrame(dataset.index()).height,
        "pandas": len(found.to_pandas()),
        "duckdb": duckdb.sql("select count(*) from found").fetchall()[0][0],
    }
    assert set(frames.values()) == {found.num_rows}, frames
    assert isinstance(found.to_pandas(), pandas.DataFrame)
    plain = polars.read_parquet(Path(path) / "index.parquet")
    assert plain.equals(polars.DataFrame(dataset.index())), "the verified index is the one that everybody reads"
    return found


def patches(dataset, table):
    regions = dict(enumerate(dataset.regions))
    for row in range(min(len(dataset), 20)):
        labels = {name: table[name][row].as_py() for name in ("center_x_mm", "center_y_mm", "center_z_mm", "shard", "row_group", "row")}
        for view in dataset.views:
            patch = dataset.patch(row, view.name)
            assert patch.voxels.shape == view.shape and patch.voxels.dtype == np.int16
            assert np.allclose(patch.center_mm, [labels[f"center_{axis}_mm"] for axis in "xyz"], atol=0)
            # The centre of the volume is the node, and steps along d, h, w go to the head, the back and the left.
            middle = (np.array(view.shape[1:]) - 1) / 2
            assert np.allclose(patch.affine @ [*middle, 1], [*patch.center_mm, 1], atol=1e-9)
            d, h, w = view.spacing_mm
            assert np.allclose(patch.affine[:3, :3], [[0, 0, w], [0, h, 0], [d, 0, 0]], atol=1e-9)
            stored = pyarrow.parquet.ParquetFile(Path(dataset.path) / labels["shard"]).read_row_group(
                labels["row_group"], columns=[f"voxels_{view.name}"]
            )
            assert stored[0][labels["row"]].as_py() == patch.voxels.astype("<i2").tobytes()
    for wrong, error in ((lambda: dataset.patch(len(dataset), "near"), IndexError), (lambda: dataset.patch(0, "far"), KeyError)):
        raises(error, wrong)
    assert regions


def raises(error, work, text=""):
    try:
        work()
    except error as found:
        assert text in str(found), found
        return
    raise AssertionError(f"{error.__name__} was not raised")


def batches(dataset, program):
    arguments = [program, "batches", str(dataset.path), "train", str(BATCH), str(SEED), str(EPOCH)]
    rust = subprocess.run(arguments, check=True, capture_output=True).stdout
    stream = mtids.Stream(dataset, "train", BATCH, SEED, EPOCH)
    whole = list(stream)
    assert b"".join(map(voxels, whole)) == rust, "voxels of Python and Rust differ"
    assert [batch.index for batch in whole] == list(range(stream.batches))
    # More than the budget holds at a time was kept: what was handed out is not in it.
    held = sum(len(voxels(batch)) for batch in whole)
    small = mtids.Stream(dataset, "train", 2, SEED, EPOCH, byte_budget_mib=needed(dataset), shuffle_row_groups=1)
    assert len(list(small)) == small.batches
    # Labels stay with their voxels, and ranks share batches.
    for batch in whole:
        labels = pyarrow.table(batch.labels)
        status = np.array([-1 if value is None else value for value in labels["metastasis"].to_pylist()])
        region = np.array([-1 if value is None else value for value in labels["region"].to_pylist()])
        assert (batch.metastasis == status).all() and (batch.region == region).all()
    halves = [list(mtids.Stream(dataset, "train", BATCH, SEED, EPOCH, rank=rank, ranks=2)) for rank in range(2)]
    joined = [np.concatenate([a.views["near"], b.views["near"]]) for a, b in zip(*halves, strict=True)]
    assert all((found == batch.views["near"]).all() for found, batch in zip(joined, whole, strict=True))
    # In turn, and from any batch on, by position and by state.
    for every in (1, 2, 3):
        for first in range(every):
            position = min(first * BATCH, sum(map(len, whole)))
            found = list(mtids.Stream(dataset, "train", BATCH, SEED, EPOCH, position, every=every))
            assert list(map(voxels, found)) == list(map(voxels, whole[first::every]))
    for stop in range(len(whole) + 1):
        head = mtids.Stream(dataset, "train", BATCH, SEED, EPOCH)
        for _ in range(stop):
            next(head)
        state = json.loads(json.dumps(head.state()))
        tail = mtids.Stream(dataset, "train", BATCH, SEED, EPOCH, state=state)
        assert list(map(voxels, tail)) == list(map(voxels, whole[stop:]))
    raises(ValueError, lambda: mtids.Stream(dataset, "train", BATCH, SEED, EPOCH + 1, state=state), "epoch")
    raises(ValueError, lambda: mtids.Stream(dataset, "train", BATCH, SEED, EPOCH, 3), "row 3")
    raises(ValueError, lambda: mtids.Stream(dataset, "training"), "split")
    raises(ValueError, lambda: mtids.Stream(dataset, byte_budget_mib=0), "byte_budget_mib")
    raises(ValueError, lambda: mtids.Stream(dataset, sampling={"balanced": "joint"}), "balanced")
    return len(whole), held, rust


def needed(dataset):
    """The least budget, as the error names it."""
    try:
        mtids.Stream(dataset, "train", 2, SEED, EPOCH, byte_budget_mib=0, shuffle_row_groups=1)
    except ValueError as error:
        return int(str(error).split(" rows need ")[1].split()[0])
    raise AssertionError("a budget of nothing was accepted")


def buffers(dataset):
    """An array keeps its voxels alive; a view of it lies where it lies; its buffer is used again when the last one dies."""
    batch = next(mtids.Stream(dataset, "train", BATCH, SEED, EPOCH))
    near = batch.views["near"]
    kept = near[0, 0]
    expected = kept.copy()
    address = near.__array_interface__["data"][0]
    assert kept.__array_interface__["data"][0] == address
    exported = np.from_dlpack(near)
    assert exported.__array_interface__["data"][0] == address
    del batch, near, exported
    gc.collect()
    for _ in mtids.Stream(dataset, "train", BATCH, SEED, EPOCH):
        pass
    assert (kept == expected).all(), "a buffer was used again while an array lay on it"
    # Written to by Python, the stream does not see it.
    for batch in mtids.Stream(dataset, "train", BATCH, SEED, EPOCH):
        batch.views["near"][:] = 0
    second = next(mtids.Stream(dataset, "train", BATCH, SEED, EPOCH))
    assert (second.views["near"][0, 0] == expected).all()


def ddgb(program, cases=1000, tasks=4):
    """Coefficients of 1,000 steps equal those of Rust to the bit, with a state that is carried through JSON."""
    generator = np.random.default_rng(7)
    for method in ("dd-gb", "upgrad", "imtl-g"):
        gradients = generator.standard_normal((cases, tasks, 6)) * np.exp(generator.standard_normal((cases, tasks, 1)))
        grams = gradients @ gradients.transpose(0, 2, 1)
        losses = np.exp(generator.standard_normal((cases, tasks)))
        lines = (json.dumps({"gram": gram.ravel().tolist(), "losses": loss.tolist()}) for gram, loss in zip(grams, losses, strict=True))
        rust = subprocess.run([program, "balance", method], input="\n".join(lines), check=True, capture_output=True, text=True)
        expected = np.array([json.loads(line) for line in rust.stdout.splitlines()])
        state, balancer = None, balance.Balancer(method, tasks)
        for gram, loss, line in zip(grams, losses, expected, strict=True):
            assert balancer.coefficients(gram, loss).tobytes() == line.tobytes()
            if method == "dd-gb":
                found, state = balance.ddgb(gram, loss, state)
                state = json.loads(json.dumps(state))
                assert found.tobytes() == line.tobytes()
    assert len(balance.METHODS) >= 30, len(balance.METHODS)
    raises(ValueError, lambda: balance.ddgb([[1.0, 2.0], [2.0, 1.0]]), "Gram")
    raises(ValueError, lambda: balance.Balancer("no-such", 2), "no-such")
    update, _ = balance.Balancer("graddrop", 2).combine([[1.0, -1.0], [1.0, 2.0]], [1.0, 1.0])
    assert update.shape == (2,)


def forks(dataset, rust, count):
    """A child that is forked after the first batch goes on like its parent; nothing is left over."""
    whole = list(map(voxels, mtids.Stream(dataset, "train", BATCH, SEED, EPOCH)))
    assert b"".join(whole) == rust
    stream = mtids.Stream(dataset, "train", BATCH, SEED, EPOCH)
    first = next(stream)
    for _ in range(count):
        child = os.fork()
        if child == 0:
            # An array of the parent dies here, and the stream goes on with threads of the child.
            del first
            rest = list(map(voxels, stream))
            os._exit(0 if rest == whole[1:] else 1)
        assert wait(child) == 0, "a forked child saw other batches"
    assert list(map(voxels, stream)) == whole[1:], "the parent's sequence was disturbed"


def forks_of_a_url(path):
    """A dataset on a server has threads for its requests, so a child that is forked has to open it again, and is told so."""
    server = subprocess.Popen([sys.executable, Path(__file__).with_name("serve.py"), path], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        remote = mtids.open(url)
        assert remote.path == url, remote.path
        rows, stream = len(remote), mtids.Stream(remote, "train", BATCH, SEED, EPOCH)
        child = os.fork()
        if child == 0:
            raises(RuntimeError, remote.index, "open it again")
            raises(RuntimeError, stream.__next__, "open it again")
            assert len(mtids.open(url)) == rows
            # What the parent opened dies here without its threads.
            del remote, stream
            gc.collect()
            os._exit(0)
        assert wait(child) == 0, "a forked child was not told to open its dataset again"
        assert pyarrow.table(remote.index()).num_rows == rows, "the parent's dataset was disturbed"
    finally:
        server.kill()
        server.wait()


def wait(child, seconds=60):
    """Exit code of a child, which must not hang."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("a child hangs")


def kills(dataset, count):
    """Processes that are killed amid an epoch leave the dataset as it was, and the next one goes on exactly."""
    whole = list(map(voxels, mtids.Stream(dataset, "train", BATCH, SEED, EPOCH)))
    dice, position = random.Random(11), 0
    for _ in range(count):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            for batch in mtids.Stream(dataset, "train", BATCH, SEED, EPOCH, state=state_at(dataset, position)):
                os.write(write, bytes([voxels(batch) == whole[batch.index], batch.index]))
            os.write(write, bytes([2, 0]))
            time.sleep(60)
            os._exit(3)
        os.close(write)
        wanted = dice.randint(1, len(whole))
        while wanted > 0:
            equal, number = os.read(read, 2)
            if equal == 2:
                position = 0
                break
            assert equal == 1 and number == position, (equal, number, position)
            position, wanted = position + 1, wanted - 1
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)


def sampling(dataset):
    """What sampling draws follows the epoch without shuffling, too, and wrong use of it is a ValueError."""
    few = {"epoch_rows": max(1, len(dataset) // 4)}

    def drawn(epoch):
        stream = mtids.Stream(dataset, "train", BATCH, SEED, epoch, shuffle=False, sampling=few)
        assert stream.state()["epoch"] == epoch
        return {key for batch in stream for key in pyarrow.table(batch.labels).column("sample_key").to_pylist()}

    assert drawn(0) == drawn(0) and drawn(0) != drawn(1)
    none = {"filter": {"models": ["no such scanner"]}}
    raises(ValueError, lambda: mtids.Stream(dataset, "train", sampling=none), "no rows")


def state_at(dataset, batch):
    return mtids.Stream(dataset, "train", BATCH, SEED, EPOCH).state(batch)


def guide(path, numbers, **names):
    """Runs Python blocks of docs/guide/pytorch.md as they stand there, with a dataset of ours in place of the demo's."""
    page = (Path(__file__).parents[2] / "docs/guide/pytorch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    for number in numbers:
        assert number < len(blocks), f"the page has {len(blocks)} blocks"
        exec(compile(blocks[number].replace("out/demo/dataset", str(path)), f"pytorch.md, block {number}", "exec"), names)  # noqa: S102
    return names


def threads():
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


def main():
    path, program = sys.argv[1:3]
    cycles = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    before = threads()
    dataset = mtids.open(path)
    table = index(dataset, path)
    patches(dataset, table)
    raises(mtids.MtidsError, lambda: mtids.open("/nowhere"), "/nowhere")
    count, held, rust = batches(dataset, program)
    buffers(dataset)
    sampling(dataset)
    ddgb(program)
    gradients = np.array([[1.0, 0.0], [-0.5, 1.0]])
    said = guide(path, [0, 1, 3], gradients=gradients, losses=[0.7, 1.2])
    assert said["near"].ndim == 5 and said["update"].shape == (2,) and said["patch"].voxels.ndim == 4
    said.clear()
    gc.collect()
    forks(dataset, rust, cycles)
    forks_of_a_url(path)
    kills(dataset, cycles)
    gc.collect()
    # Threads of NumPy and polars may stay; those of streams do not.
    names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    assert not [name for name in names if name.startswith("mtids")], names
    print(f"{len(dataset)} rows, {count} batches of {held} bytes equal to Rust's, {cycles} forks, {cycles} kills, threads {before} before")


if __name__ == "__main__":
    # A fault in native code says where.
    ctypes.pythonapi.PyErr_CheckSignals()
    main()
