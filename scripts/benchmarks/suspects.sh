#!/usr/bin/env bash
# Suspects beside cleanlab's on a standing cohort with flipped labels. Called by `make bench-suspects`; arguments: the programs' folder, the cohort,
# first and last seed, settings of the search. The tables go to the terminal.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1 cohort=$2 first=$3 last=$4
shift 4
[ -d .venv-suspects ] || python3 -m venv .venv-suspects
.venv-suspects/bin/pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-suspects.txt
bash scripts/cohorts/build.sh "$programs" "$cohort"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv-suspects/bin/python scripts/benchmarks/suspects.py "$programs/mtids-audit" "out/cohorts/$cohort" "$work" "$first" "$last" "$@"
