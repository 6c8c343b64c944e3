"""Runs every recipe of docs/audit-cookbook.md: the answers by polars, in Python and in Rust, must be the one by DuckDB.

    python tests/python/cookbook.py DATASET PROGRAM

PROGRAM is crates/mtids-audit/examples/cookbook.rs, whose functions the page must show. Each runs on the dataset, and on a copy of its index with planted faults, where every recipe must have an answer.
"""

import json
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

RECIPES = 10
ROOT = Path(__file__).resolve().parents[2]


def block(section, language):
    found = re.findall(rf"^```{language}\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks of {language} in {section.splitlines()[0]}"
    return found[0]


def sorted_rows(rows):
    """Rows without order; sums of floats may differ by their order, so 12 digits count."""
    plain = [tuple(float(f"{one:.12g}") if isinstance(one, float) else one for one in row) for row in rows]
    return sorted(plain, key=repr)


def bodies():
    """The recipes of the Rust program in the order in which it runs them."""
    source = (ROOT / "crates/mtids-audit/examples/cookbook.rs").read_text()
    names = re.search(r"let recipes = \[(.*?)\];", source, flags=re.DOTALL).group(1).replace(",", " ").split()
    function = r"^fn {}\(index: LazyFrame\) -> LazyFrame {{\n(.*?)^}}"
    found = [re.search(function.format(name), source, flags=re.MULTILINE | re.DOTALL) for name in names]
    return [textwrap.dedent(one.group(1)) for one in found]


def heights(sections, path):
    """Rows of each recipe's answer."""
    base = duckdb.connect()
    base.execute(f"CREATE VIEW index AS SELECT * FROM '{path}'")
    lines = subprocess.run([sys.argv[2], path], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == RECIPES, f"{len(lines)} answers of {sys.argv[2]}"
    for section, line in zip(sections, lines, strict=True):
        title = section.splitlines()[0]
        names = {"pl": pl, "index": pl.read_parquet(path)}
        exec(block(section, "python"), names)
        by_polars, by_sql = names["answer"], base.execute(block(section, "sql"))
        columns = [column[0] for column in by_sql.description]
        assert by_polars.columns == columns, f"{title}: {by_polars.columns} and {columns}"
        first, second = sorted_rows(by_polars.iter_rows()), sorted_rows(by_sql.fetchall())
        assert first == second, f"{title}\npolars {first}\nDuckDB {second}"
        by_rust = json.loads(line)
        assert by_rust["columns"] == columns, f"{title}: {by_rust['columns']} and {columns}"
        third = sorted_rows(by_rust["rows"])
        assert third == second, f"{title}\nRust {third}\nDuckDB {second}"
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


text = (ROOT / "docs/audit-cookbook.md").read_text()
recipes = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
assert len(recipes) == RECIPES, f"{len(recipes)} recipes"
for recipe, body in zip(recipes, bodies(), strict=True):
    assert block(recipe, "rust") == body, f"the page shows another Rust recipe than the program runs: {recipe.splitlines()[0]}"
index_path = Path(sys.argv[1]) / "index.parquet"
sound = dict(heights(recipes, index_path))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "index.parquet"
    faulty = with_faults(pl.read_parquet(index_path)).to_arrow(compat_level=pl.CompatLevel.oldest())
    # The Rust program reads the types of an index, where polars would write larger ones.
    pq.write_table(faulty.cast(pq.read_schema(index_path)), path, compression="zstd")
    for recipe, height in heights(recipes, path):
        assert height > 0, f"{recipe} finds no planted fault"
        print(f"{recipe} {sound[recipe]} rows, {height} with planted faults")
