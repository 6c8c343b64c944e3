"""Answers of the network for the rows of a dataset of mtids. Research software, not for diagnosis."""

import csv
import json
from pathlib import Path

import numpy
import pyarrow.parquet as parquet


def rows(dataset, split, views, batch_size=16):
    """Keys and voxels of the findings of a split, by batches: `{view: [N, channels, d, h, w]}` in single precision.

    `views` are names and shapes `[channels, d, h, w]`. Only shards that the manifest names are read.
    """
    dataset = Path(dataset)
    manifest = json.loads((dataset / "manifest.json").read_text())
    columns = ["sample_key", "kind", *(f"voxels_{view}" for view in views)]
    for shard in manifest["shards"]:
        if shard["split"] != split:
            continue
        for batch in parquet.ParquetFile(dataset / shard["path"]).iter_batches(batch_size, columns=columns):
            findings = [row for row in batch.to_pylist() if row["kind"] == "finding"]
            if findings:
                cells = {
                    view: [numpy.frombuffer(row[f"voxels_{view}"], "<i2").reshape(shape) for row in findings]
                    for view, shape in views.items()
                }
                voxels = {view: numpy.stack(of_view).astype(numpy.float32) for view, of_view in cells.items()}
                yield [row["sample_key"] for row in findings], voxels


def answer(session, batches, metadata, output):
    """Writes one line of probabilities for each row and returns the number of rows."""
    names = [place.name for place in session.get_outputs()]
    regions, joint = metadata["regions"], metadata["joint_classes"]
    calibrated = "metastasis_calibrated" in names
    heads = ["sample_key", "metastasis", *(["metastasis_calibrated"] if calibrated else []), *regions, *joint]
    count = 0
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        for keys, voxels in batches:
            answers = dict(zip(names, session.run(names, voxels), strict=True))
            for row, key in enumerate(keys):
                status = [answers["metastasis"][row]]
                if calibrated:
                    status.append(answers["metastasis_calibrated"][row])
                values = [*status, *answers["region"][row], *answers["pooled"][row]]
                writer.writerow([key, *(f"{value:.9f}" for value in values)])
                count += 1
    print(f"{output}: {count} rows")
    return count
