"""Opens every shard and the index of a dataset with pyarrow, DuckDB and polars, and compares columns with schemas/patch.json.

    python tests/python/read_dataset.py DATASET schemas/patch.json
"""

import glob
import json
import sys

import duckdb
import numpy as np
import polars
import pyarrow.parquet as pq

dataset, schema = sys.argv[1], json.load(open(sys.argv[2], encoding="utf-8"))
manifest = json.load(open(f"{dataset}/manifest.json", encoding="utf-8"))
views = [f"voxels_{view['name']}" for view in manifest["description"]["views"]]
# The schema documents the columns of voxels once, for any view.
narrow = [column["name"] for column in schema["columns"] if column["name"] != "voxels_<view>"]
documented = narrow + views
nullable = {column["name"]: column["nullable"] for column in schema["columns"]} | dict.fromkeys(views, False)
shards = sorted(glob.glob(f"{dataset}/shards/*/*.parquet"))
assert shards and len(shards) == len(manifest["shards"]), (len(shards), len(manifest["shards"]))

rows = 0
for path in shards:
    table = pq.read_table(path)
    rows += table.num_rows
    assert table.column_names == documented, set(table.column_names) ^ set(documented)
    for name in documented:
        assert nullable[name] or table[name].null_count == 0, name
    metadata = {key.decode() for key in table.schema.metadata}
    assert any(key.startswith("mtids") for key in metadata), metadata
    assert [view["column"] for view in json.loads(table.schema.metadata[b"mtids.views"])] == views
    blob = table[views[0]][0].as_py()
    voxels = np.frombuffer(blob, dtype="<i2")
    assert -2048 <= voxels.min() < voxels.max() <= 4000, (voxels.min(), voxels.max())
    frame = polars.read_parquet(path)
    assert frame.columns == documented and frame[views[0]][0] == blob
    names = [row[0] for row in duckdb.sql(f"describe select * from read_parquet('{path}')").fetchall()]
    assert names == documented

by_label = duckdb.sql(
    f"select region_name, metastasis, count(*) from read_parquet('{dataset}/shards/*/*.parquet') group by all order by all"
).fetchall()
assert sum(row[2] for row in by_label) == rows
assert pq.read_table(f"{dataset}/index.parquet").num_rows == rows
print(f"{len(shards)} shards, {rows} rows, {len(documented)} columns: pyarrow, DuckDB and polars agree")
