"""Rows per second through Python in one process: `mtids.Stream` beside LitData, MosaicML Streaming and Grain. Called by `make bench-package-peers`.

Arguments: dataset of two views, folder for the copies, rounds. Every library streams the same rows of the split `train`, shuffled, in batches of 32 as
NumPy or torch arrays of the two views, from local files that the system has cached, without worker processes. Each stores them in its own format at
its defaults, and none of the others checks what it reads. Rounds alternate.
"""

import shutil
import statistics
import sys
import time
from pathlib import Path

import array_record.python.array_record_module as array_record
import grain
import litdata
import numpy as np
import pyarrow
import streaming
from torch.utils.data import DataLoader

import mtids

BATCH, SEED = 32, 1
path, folder, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
dataset = mtids.open(path)
table = pyarrow.table(dataset.index())
rows = [row for row, split in enumerate(table["split"].to_pylist()) if split == "train"]
shapes = {view.name: view.shape for view in dataset.views}


def sample(row):
    return {name: dataset.patch(row, name).voxels for name in shapes}


def write_litdata(out):
    litdata.optimize(fn=sample, inputs=rows, output_dir=str(out), chunk_bytes="64MB", num_workers=1)


def write_mosaic(out):
    with streaming.MDSWriter(out=str(out), columns=dict.fromkeys(shapes, "ndarray:int16")) as writer:
        for row in rows:
            writer.write({name: np.ascontiguousarray(voxels) for name, voxels in sample(row).items()})


def write_grain(out):
    out.mkdir()
    writer = array_record.ArrayRecordWriter(str(out / "rows.array_record"), "group_size:1")
    for row in rows:
        writer.write(b"".join(voxels.tobytes() for voxels in sample(row).values()))
    writer.close()


def decode(record):
    found, at = {}, 0
    for name, shape in shapes.items():
        length = 2 * int(np.prod(shape))
        found[name] = np.frombuffer(record, np.int16, length // 2, at).reshape(shape)
        at += length
    return found


def read_mtids(_, epoch):
    return (len(batch) for batch in mtids.Stream(mtids.open(path), "train", BATCH, SEED, epoch))


def read_litdata(out, epoch):
    data = litdata.StreamingDataset(str(out), shuffle=True, seed=SEED + epoch)
    return (len(batch["near"]) for batch in litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=0))


def read_mosaic(out, epoch):
    data = streaming.StreamingDataset(local=str(out), shuffle=True, shuffle_seed=SEED + epoch, batch_size=BATCH)
    return (len(batch["near"]) for batch in DataLoader(data, batch_size=BATCH, num_workers=0))


def read_grain(out, epoch):
    source = grain.sources.ArrayRecordDataSource(str(out / "rows.array_record"))
    data = grain.MapDataset.source(source).shuffle(SEED + epoch).map(decode).to_iter_dataset().batch(BATCH)
    return (len(batch["near"]) for batch in data)


LIBRARIES = {
    "mtids": (None, read_mtids),
    "LitData": (write_litdata, read_litdata),
    "MosaicML Streaming": (write_mosaic, read_mosaic),
    "Grain": (write_grain, read_grain),
}


def main():
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    places = {name: folder / name.replace(" ", "-") for name in LIBRARIES}
    for name, (write, _) in LIBRARIES.items():
        if write:
            write(places[name])
    speeds = {name: [] for name in LIBRARIES}
    for epoch in range(rounds + 1):
        for name, (_, read) in LIBRARIES.items():
            began = time.perf_counter()
            count = sum(read(places[name], epoch))
            seconds = time.perf_counter() - began
            assert count == len(rows), (name, count, len(rows))
            # The first round fills the system's cache.
            if epoch:
                speeds[name].append(count / seconds)
    print(f"{len(rows)} rows, {rounds} rounds, rows per second: median [least, most], and mtids beside it")
    for name, found in speeds.items():
        ratios = sorted(ours / other for ours, other in zip(speeds["mtids"], found, strict=True))
        print(
            f"{name}: {statistics.median(found):.0f} [{min(found):.0f}, {max(found):.0f}]; "
            f"mtids / it {statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        )


if __name__ == "__main__":
    main()
