#!/usr/bin/env bash
# Writes one cohort and builds its dataset, unless it is there: out/cohorts/<name>/dataset. Arguments: folder of the programs, name of the cohort.
#
# The cohort's DICOM (5 GB for 600 patients) is removed after the build; truth.json, annotations.csv and the dataset stay.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1 cohort=$2
settings=pipelines/cohorts out=out/cohorts/$cohort code=0 more=()
[ ! -f "$out/dataset/manifest.json" ] || exit 0
"$programs/mtids-prep" phantom --config "$settings/$cohort/phantom.toml" --out "$out/cohort" >/dev/null
[ "$cohort" != pet ] || more=(--set pet=true)
"$programs/mtids-prep" build --config "$settings/dataset.toml" --data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv" \
  --annotations "$out/cohort/masks" --out "$out/dataset" "${more[@]}" >/dev/null || code=$?
# 1 says: done, some input was refused, as the cohort's defects ask for.
[ "$code" -le 1 ] || exit "$code"
rm -rf "$out/cohort/dicom"
