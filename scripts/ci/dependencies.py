"""Dependencies of the workspace: licences, sources and bans by deny.toml, and those that no file uses. Exits with 1 if something is wrong.

A small stand-in for `cargo deny check bans licenses sources` and `cargo machete`, which the workflow runs: it needs Python 3.11 and `cargo metadata`
only, where these programs take longer to compile than a check may.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

deny = tomllib.loads(Path("deny.toml").read_text())
allowed = set(deny["licenses"]["allow"])
cargo = os.environ.get("CARGO", "cargo")
metadata = json.loads(
    subprocess.run([cargo, "metadata", "--locked", "--format-version=1"], check=True, stdout=subprocess.PIPE).stdout
)
members = set(metadata["workspace_members"])
problems = []


def holds(expression):
    """Is a licence expression met by the allowed licences? Both `/` and `OR` separate alternatives."""
    words = re.findall(r"\(|\)|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))
    python = [
        {"AND": "and", "OR": "or"}.get(word, word if word in "()" else str(word in allowed)) for word in words
    ]
    return eval(" ".join(python), {"__builtins__": {}})  # True, False, and, or, brackets: nothing else.


def used_by_platforms(package):
    """Is a package in the tree of a platform that we build for?"""
    return package["id"] in reached


# What is reached from the members without dependencies of tests and on Linux, as `cargo tree` does.
host = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
host = re.search(r"host: (\S+)", host)[1]
linux = json.loads(
    subprocess.run(
        [cargo, "metadata", "--locked", "--format-version=1", "--filter-platform", host], check=True, stdout=subprocess.PIPE
    ).stdout
)
reached = {node["id"] for node in linux["resolve"]["nodes"]}

for package in metadata["packages"]:
    name = f"{package['name']} {package['version']}"
    if package["id"] in members:
        continue
    source = package["source"] or "path"
    if not source.startswith("registry+https://github.com/rust-lang/crates.io-index"):
        problems.append(f"{name}: comes from {source}, not from crates.io")
    if used_by_platforms(package) and not (package["license"] and holds(package["license"])):
        problems.append(f"{name}: licence {package['license']} is not allowed by deny.toml")

for ban in deny["bans"].get("deny", []):
    for package in metadata["packages"]:
        wrappers = ban.get("wrappers", [])
        if package["id"] in members and package["name"] not in wrappers:
            if any(dependency["name"] == ban["crate"] for dependency in package["dependencies"]):
                problems.append(f"{package['name']}: may not depend on {ban['crate']}")

for package in metadata["packages"]:
    if package["id"] not in members:
        continue
    folder = Path(package["manifest_path"]).parent
    ignored = (package["metadata"] or {}).get("cargo-machete", {}).get("ignored", [])
    text = "\n".join(
        path.read_text() for path in folder.rglob("*.rs") if not {"target", "fuzz"} & set(path.relative_to(folder).parts)
    )
    for dependency in package["dependencies"]:
        name = (dependency["rename"] or dependency["name"]).replace("-", "_")
        if dependency["name"] not in ignored and not re.search(rf"\b{name}\b", text):
            problems.append(f"{package['name']}: nothing uses {dependency['name']}")

for problem in problems:
    print(problem)
print(f"{len(reached)} packages on {host}, {len(metadata['packages'])} in Cargo.lock; {len(problems)} problems")
sys.exit(1 if problems else 0)
