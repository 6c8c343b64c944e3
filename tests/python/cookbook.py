"""Runs every recipe of docs/audit-cookbook.md: the answer by polars must be the one by DuckDB.

    python tests/python/cookbook.py DATASET

Each runs on the dataset, and on a copy of its index with planted faults, where every recipe must have an answer.
"""

import re
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl

RECIPES = 10


def block(section, language):
    found = re.findall(rf"^```{language}\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks of {language} in {section.splitlines()[0]}"
    return found[0]


def sorted_rows(rows):
    """Rows without order; sums of floats may differ by their order, so 12 digits count."""
    plain = [tuple(float(f"{one:.12g}") if isinstance(one, float) else one for one in row) for row in rows]
    return sorted(plain, key=repr)


def heights(sections, path):
    """Rows of each recipe's answer."""
    base = duckdb.connect()
    base.execute(f"CREATE VIEW index AS SELECT * FROM '{path}'")
    for section in sections:
        title = section.splitlines()[0]
        names = {"pl": pl, "index": pl.read_parquet(path)}
        exec(block(section, "python"), names)
        by_polars, by_sql = names["answer"], base.execute(block(section, "sql"))
        columns = [column[0] for column in by_sql.description]
        assert by_polars.columns == columns, f"{title}: {by_polars.columns} and {columns}"
        first, second = sorted_rows(by_polars.iter_rows()), sorted_rows(by_sql.fetchall())
        assert first == second, f"{title}\npolars {first}\nDuckDB {second}"
        yield title, len(first)


def with_faults(index):
    """A known node again: in another split, of another region and status, with much padding."""
    node = index.filter(pl.col("metastasis").is_not_null()).head(1)
    other = "train" if node["split"][0] == "test" else "test"
    return pl.concat([
        index,
        node.with_columns(
            sample_key=pl.lit("again"),
            region_name=pl.lit("planted"),
            split=pl.lit(other).cast(index["split"].dtype),
            metastasis=(1 - pl.col("metastasis")).cast(index["metastasis"].dtype),
            pad_fraction=pl.lit(0.5).cast(index["pad_fraction"].dtype),
        ),
    ])


text = (Path(__file__).resolve().parents[2] / "docs/audit-cookbook.md").read_text()
recipes = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
assert len(recipes) == RECIPES, f"{len(recipes)} recipes"
index_path = Path(sys.argv[1]) / "index.parquet"
sound = dict(heights(recipes, index_path))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "index.parquet"
    with_faults(pl.read_parquet(index_path)).write_parquet(path)
    for recipe, height in heights(recipes, path):
        assert height > 0, f"{recipe} finds no planted fault"
        print(f"{recipe} {sound[recipe]} rows, {height} with planted faults")
