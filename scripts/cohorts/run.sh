#!/usr/bin/env bash
# The standing cohorts: written, built, trained with the demo's settings, evaluated; prints the table of docs/phantom.md. Called by `make
# cohorts`; argument: folder of the programs.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1
for cohort in easy realistic hard no-signal; do
  out=out/cohorts/$cohort
  "$programs/mtids-prep" phantom --config "pipelines/cohorts/$cohort/phantom.toml" --out "$out/cohort" >/dev/null
  code=0
  "$programs/mtids-prep" build --config pipelines/demo/dataset.toml --data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv" \
    --annotations "$out/cohort/masks" --out "$out/dataset" >/dev/null || code=$?
  [ "$code" -le 1 ] || exit "$code"
  "$programs/mtids-train" fit --config pipelines/demo/train.toml --dataset "$out/dataset" --run "$out/run" >/dev/null
  "$programs/mtids-train" evaluate --run "$out/run" --dataset "$out/dataset" >/dev/null
done
[ -x .venv/bin/python ] || make python
.venv/bin/python scripts/cohorts/table.py out/cohorts docs/phantom.md
