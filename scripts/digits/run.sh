#!/usr/bin/env bash
# MT-IDS, baselines and balancers on digits; writes docs/results/digits.md. Called by `make digits`.
# Arguments: form of the experts (residual or normalised), cargo profile.
set -euo pipefail
cd "$(dirname "$0")/../.."
experts=${1:-residual} profile=${2:-dev}
page=docs/results/digits.md
settings=()
# That page is of the design's first form in every respect.
[ "$experts" != normalised ] || { page=docs/results/digits_normalised.md; settings=(--norm group --peak 3e-3 --seeds 21,22,23,24); }
[ -d .venv-digits ] || python3 -m venv .venv-digits
.venv-digits/bin/pip install --quiet --disable-pip-version-check --requirement scripts/digits/requirements.txt
.venv-digits/bin/python scripts/digits/data.py out/digits/digits.csv
rm -f out/digits/runs.jsonl
RAYON_NUM_THREADS=1 "${CARGO:-cargo}" run --locked --quiet --profile "$profile" --package mtids-train --example digits -- \
  --experts "$experts" "${settings[@]}" --digits out/digits/digits.csv --runs out/digits/runs.jsonl --page "$page" --date "$(date +%F)"
