#!/usr/bin/env bash
# Cohorts with known truth, one after the other: written, built, trained with the settings of pipelines/cohorts, evaluated; then the table of
# docs/phantom.md. Called by `make cohorts`. Arguments: folder of the programs, cohorts (default: all that the table has).
#
# A cohort's DICOM (5 GB for 600 patients) is removed after its build; truth.json, annotations.csv and the dataset stay. What is finished is
# not done again: remove out/cohorts/<name> to start anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1
shift
[ $# -gt 0 ] || set -- easy realistic hard no-signal pet
for cohort in "$@"; do
  settings=pipelines/cohorts out=out/cohorts/$cohort
  printf '%s\n' "$cohort"
  "$programs/mtids-prep" phantom --config "$settings/$cohort/phantom.toml" --out "$out/cohort" >/dev/null
  if [ ! -f "$out/dataset/manifest.json" ]; then
    more=()
    [ "$cohort" != pet ] || more=(--set pet=true)
    code=0
    "$programs/mtids-prep" build --config "$settings/dataset.toml" --data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv" \
      --annotations "$out/cohort/masks" --out "$out/dataset" "${more[@]}" >/dev/null || code=$?
    # 1 says: done, some input was refused, as the cohort's defects ask for.
    [ "$code" -le 1 ] || exit "$code"
  fi
  rm -rf "$out/cohort/dicom"
  "$programs/mtids-train" fit --config "$settings/train.toml" --dataset "$out/dataset" --run "$out/run" >/dev/null
  "$programs/mtids-train" evaluate --run "$out/run" --dataset "$out/dataset" >/dev/null
done
[ -x .venv/bin/python ] || make python
.venv/bin/python scripts/cohorts/table.py out/cohorts docs/phantom.md
