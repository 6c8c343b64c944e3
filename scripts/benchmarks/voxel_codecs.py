"""Size and speed of ways to write voxels into Parquet: `python voxel_codecs.py DATASET` (pyarrow, NumPy), on eight shards of its largest split.

Prints a table: size beside what the writer does (binary, PLAIN, ZSTD 3), MB of voxels a second of CPU time to write, and to read with one thread,
median [least, most] of five rounds. What says *not plain* is no i16 to other readers.
"""

import io
import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

ROWS, SHARDS, ROUNDS = 27, 8, 5
VIEWS = ["near", "wide"]


def binary(rows):
    return pyarrow.array([row.tobytes() for row in rows], pyarrow.binary())


def fixed(rows):
    return pyarrow.array([row.tobytes() for row in rows], pyarrow.binary(rows.nbytes // len(rows)))


def lists(kind):
    def made(rows):
        ends = pyarrow.array(np.arange(0, rows.size + 1, rows.shape[1]), pyarrow.int32())
        return pyarrow.ListArray.from_arrays(ends, pyarrow.array(rows.reshape(-1)).cast(kind))

    return made


def apart(rows):
    return binary(np.ascontiguousarray(rows.view(np.uint8).reshape(len(rows), -1, 2).transpose(0, 2, 1)))


def delta_apart(rows):
    delta = rows.copy()
    delta[:, 1:] -= rows[:, :-1]
    return apart((delta << 1) ^ (delta >> 15))


def encoding(name, path="{}"):
    return {"column_encoding": {path.format(view): name for view in VIEWS}}


LIST = "{}.list.element"
WAYS = {
    **{f"binary, ZSTD {level}": (binary, "zstd", level, {}) for level in (3, 1, 6, 9, 15)},
    "binary, LZ4": (binary, "lz4", None, {}),
    "binary, Snappy": (binary, "snappy", None, {}),
    "binary, not compressed": (binary, "none", None, {}),
    "fixed binary, BYTE_STREAM_SPLIT, ZSTD 1": (fixed, "zstd", 1, encoding("BYTE_STREAM_SPLIT")),
    "list of int32, BYTE_STREAM_SPLIT, ZSTD 3": (lists(pyarrow.int32()), "zstd", 3, encoding("BYTE_STREAM_SPLIT", LIST)),
    "list of int16, DELTA_BINARY_PACKED": (lists(pyarrow.int16()), "none", None, encoding("DELTA_BINARY_PACKED", LIST)),
    "list of int16, DELTA_BINARY_PACKED, ZSTD 1": (lists(pyarrow.int16()), "zstd", 1, encoding("DELTA_BINARY_PACKED", LIST)),
    "not plain: bytes apart, ZSTD 1": (apart, "zstd", 1, {}),
    "not plain: differences, bytes apart, ZSTD 1": (delta_apart, "zstd", 1, {}),
    "not plain: differences, bytes apart, LZ4": (delta_apart, "lz4", None, {}),
}


def main(path):
    shards = json.loads((path / "manifest.json").read_text())["shards"]
    split = Counter(shard["split"] for shard in shards).most_common(1)[0][0]
    files = [path / shard["path"] for shard in shards if shard["split"] == split][:SHARDS]
    columns = [f"voxels_{view}" for view in VIEWS]
    table = pyarrow.concat_tables([parquet.read_table(file, columns=columns) for file in files])
    voxels = {view: np.stack([np.frombuffer(row, np.int16) for row in table[f"voxels_{view}"].to_pylist()]) for view in VIEWS}
    megabytes = sum(rows.nbytes for rows in voxels.values()) / 1e6
    written = {}
    for name, (made, codec, level, options) in WAYS.items():
        columns = pyarrow.table({view: made(rows) for view, rows in voxels.items()})
        file, began = io.BytesIO(), time.process_time()
        options = {"compression": codec, "compression_level": level, "use_dictionary": False, "write_statistics": False, **options}
        parquet.write_table(columns, file, row_group_size=ROWS, **options)
        written[name] = file.getvalue(), megabytes / (time.process_time() - began)
    speeds = {name: [] for name in written}
    for _ in range(ROUNDS):
        for name, (content, _) in written.items():
            file, began = parquet.ParquetFile(io.BytesIO(content)), time.process_time()
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)
            speeds[name].append(megabytes / (time.process_time() - began))
    base = len(written["binary, ZSTD 3"][0])
    print("| voxels | size | MB/s to write | MB/s to read |\n|---|---|---|---|")
    for name, (content, speed) in written.items():
        found = speeds[name]
        print(f"| {name} | {len(content) / base:.2f} | {speed:.0f} | {statistics.median(found):.0f} [{min(found):.0f}, {max(found):.0f}] |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
