#!/usr/bin/env bash
# Cohorts with known truth, one after the other: written, built, trained with the settings of pipelines/cohorts, evaluated; then the table of
# docs/phantom.md and docs/results/cohorts.md. Called by `make cohorts`. Arguments: folder of the programs, cohorts (default: all that the tables
# have). SEEDS: seeds of the training, one run each (default: 1).
#
# A cohort's DICOM (5 GB for 600 patients) is removed after its build; truth.json, annotations.csv and the dataset stay. What is finished is
# not done again, and an interrupted training goes on: remove out/cohorts/<name> to start anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1
shift
[ $# -gt 0 ] || set -- easy realistic hard no-signal pet
settings=pipelines/cohorts

build() { # the dataset of one cohort
  local cohort=$1 out=out/cohorts/$1 code=0 more=()
  [ ! -f "$out/dataset/manifest.json" ] || return 0
  "$programs/mtids-prep" phantom --config "$settings/$cohort/phantom.toml" --out "$out/cohort" >/dev/null
  [ "$cohort" != pet ] || more=(--set pet=true)
  "$programs/mtids-prep" build --config "$settings/dataset.toml" --data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv" \
    --annotations "$out/cohort/masks" --out "$out/dataset" "${more[@]}" >/dev/null || code=$?
  # 1 says: done, some input was refused, as the cohort's defects ask for.
  [ "$code" -le 1 ] || return "$code"
  rm -rf "$out/cohort/dicom"
}

for cohort in "$@"; do
  printf '%s\n' "$cohort"
  build "$cohort"
  for seed in ${SEEDS:-1}; do
    out=out/cohorts/$cohort run=out/cohorts/$cohort/run-$seed
    [ ! -f "$run/evaluation.json" ] || continue
    mkdir -p "$run"
    # Each attempt's seconds, so that the time of a training that was interrupted is the sum.
    began=$SECONDS code=0
    "$programs/mtids-train" fit --config "$settings/train.toml" --set "seed=$seed" --dataset "$out/dataset" --run "$run" >/dev/null || code=$?
    echo $((SECONDS - began)) >>"$out/seconds-$seed"
    [ "$code" -eq 0 ] || exit "$code"
    "$programs/mtids-train" evaluate --run "$run" --dataset "$out/dataset" >/dev/null
  done
done
[ -x .venv/bin/python ] || make python
.venv/bin/python scripts/cohorts/table.py out/cohorts docs/phantom.md
.venv/bin/python scripts/cohorts/results.py out/cohorts docs/results/cohorts.md
