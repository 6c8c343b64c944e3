"""Opens every shard of a dataset of views with pyarrow, polars, DuckDB and Hugging Face `datasets`: the shape and one voxel of each view.

    python tests/python/open_views.py DATASET

What each library reads is compared with the manifest (shape) and among the libraries (voxel and digest of the row).
"""

import glob
import json
import os
import sys
import tempfile

# Nothing is fetched: the files lie on this machine.
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import duckdb
import numpy as np
import polars
import pyarrow.parquet as pq

dataset = sys.argv[1]
described = json.load(open(f"{dataset}/manifest.json", encoding="utf-8"))["description"]["views"]
shards = sorted(glob.glob(f"{dataset}/shards/*/*.parquet"))
assert shards, "no shard"


def shape_of(view):
    return (len(view["channels"]), *view["size_dhw"])


def by_pyarrow(path, column):
    return pq.read_table(path, columns=["sample_key", column]).to_pylist()


def by_polars(path, column):
    return polars.read_parquet(path, columns=["sample_key", column]).to_dicts()


def by_duckdb(path, column):
    rows = duckdb.sql(f"select sample_key, {column} from read_parquet('{path}')").fetchall()
    return [dict(zip(["sample_key", column], row)) for row in rows]


def by_datasets(path, column):
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=cache)
        assert loaded.features[column] == datasets.Value("binary"), loaded.features[column]
        return loaded.select_columns(["sample_key", column]).to_list()


readers = {"pyarrow": by_pyarrow, "polars": by_polars, "DuckDB": by_duckdb, "datasets": by_datasets}
rows = 0
for path in shards:
    stored = {key.decode(): value.decode() for key, value in pq.read_metadata(path).metadata.items()}
    views = json.loads(stored["mtids.views"])
    assert [(view["name"], view["size_dhw"], view["channels"]) for view in views] == [
        (view["name"], view["geometry"]["size"], view["channels"]) for view in described
    ], views
    for view in views:
        column, shape = view["column"], shape_of(view)
        middle = (0, *(side // 2 for side in shape[1:]))
        found = {}
        for name, read in readers.items():
            voxels = {row["sample_key"]: np.frombuffer(row[column], "<i2").reshape(shape) for row in read(path, column)}
            found[name] = {key: (int(array[middle]), int(array.sum(dtype=np.int64))) for key, array in voxels.items()}
            assert all(-32768 <= array.min() < array.max() for array in voxels.values()), (name, view["name"])
        assert all(one == found["pyarrow"] for one in found.values()), (path, view["name"])
        count = len(found["pyarrow"])
    rows += count

names = ", ".join(f"{view['name']} {shape_of(view)}" for view in views)
print(f"{len(shards)} shards, {rows} rows, views {names}: {', '.join(readers)} agree")
