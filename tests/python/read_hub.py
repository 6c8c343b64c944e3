"""Opens a dataset as the Hugging Face hub and a catalogue of Croissant do, and compares both with the manifest.

    python tests/python/read_hub.py DATASET

Nothing is downloaded: `datasets` reads the folder by the head of its README.md, `mlcroissant` by croissant.json.
"""

import json
import os
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
cache = tempfile.TemporaryDirectory()
os.environ["HF_HOME"] = cache.name

import datasets
import duckdb
import mlcroissant

dataset = sys.argv[1]
manifest = json.load(open(f"{dataset}/manifest.json", encoding="utf-8"))
views = [f"voxels_{view['name']}" for view in manifest["description"]["views"]]
shards = [f"{dataset}/{shard['path']}" for shard in manifest["shards"]]
columns = ", ".join(["sample_key", "split", "metastasis", "short_axis_mm", "region_name", *views])
expected = {row[0]: row[1:] for row in duckdb.sql(f"select {columns} from read_parquet({shards})").fetchall()}

rows = {}
for split, part in datasets.load_dataset(dataset, cache_dir=cache.name).items():
    of_split = [shard for shard in manifest["shards"] if shard["split"] == split]
    assert part.num_rows == sum(shard["rows"] for shard in of_split), split
    for row in part:
        assert row["split"] == split
        rows[row["sample_key"]] = tuple(row[name] for name in columns.split(", ")[1:])
assert rows == expected, "datasets reads other rows"

metadata = mlcroissant.Dataset(jsonld=f"{dataset}/croissant.json")
assert not metadata.metadata.ctx.issues.errors, metadata.metadata.ctx.issues.report()
# What only a publisher knows is missing, or given in the settings of the build.
said = json.load(open(f"{dataset}/croissant.json", encoding="utf-8"))
recommended = {warning.split('"')[1].rsplit("/", 1)[-1] for warning in metadata.metadata.ctx.issues.warnings if "is recommended" in warning}
assert recommended == {"citeAs", "datePublished", "license", "version"} - said.keys(), metadata.metadata.ctx.issues.report()
assert len(metadata.metadata.ctx.issues.warnings) == len(recommended), metadata.metadata.ctx.issues.report()
assert str(metadata.metadata.ctx.conforms_to.value).endswith("/1.1")
rows = {}
for record in metadata.records(record_set="rows"):
    value = {name.removeprefix("rows/"): one for name, one in record.items()}
    text = {name: value[name] and value[name].decode() for name in ("sample_key", "split", "region_name")}
    rows[text["sample_key"]] = (
        text["split"], value["metastasis"], value["short_axis_mm"], text["region_name"], *(value[view] for view in views),
    )
assert rows == expected, "mlcroissant reads other rows"
print(f"{len(rows)} rows, {len(views)} views: datasets {datasets.__version__} and mlcroissant agree with the manifest")
