"""Corrections that nobody decided, for the picture of a comparison: of every fortieth finding the metastasis is turned.

    python scripts/made_up_corrections.py INDEX.parquet CORRECTIONS.csv
"""

import csv
import sys

import polars

index = polars.read_parquet(sys.argv[1]).filter(polars.col("metastasis").is_not_null() & (polars.col("kind") == "finding"))
names = ("benign", "metastatic")
with open(sys.argv[2], "w", encoding="utf-8", newline="") as file:
    table = csv.writer(file)
    table.writerow(["finding", "dimension", "old", "new", "by", "why"])
    for row in index.gather_every(40).iter_rows(named=True):
        status = int(row["metastasis"])
        table.writerow([row["sample_key"], "metastasis", names[status], names[1 - status], "a made-up reader", "for a picture"])
