#!/usr/bin/env bash
# Cohorts with known truth, one after the other: written, built, trained with the settings of pipelines/cohorts, evaluated; then the table of
# docs/phantom.md and docs/results/cohorts.md. Called by `make cohorts`. Arguments: folder of the programs, cohorts (default: all that the tables
# have). SEEDS: seeds of the training, one run each (default: 1). SETTING: the file of pipelines/cohorts with the settings of the training
# (default: train).
#
# What is finished is not done again, and an interrupted training goes on: remove out/cohorts/<name> to start anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1
shift
[ $# -gt 0 ] || set -- easy realistic hard no-signal pet
settings=pipelines/cohorts setting=${SETTING:-train}

for cohort in "$@"; do
  printf '%s\n' "$cohort"
  bash scripts/cohorts/build.sh "$programs" "$cohort"
  for seed in ${SEEDS:-1}; do
    name=$([ "$setting" = train ] && echo "$seed" || echo "$setting-$seed")
    out=out/cohorts/$cohort run=out/cohorts/$cohort/run-$name
    [ ! -f "$run/evaluation.json" ] || continue
    mkdir -p "$run"
    # Each attempt's seconds, so that the time of a training that was interrupted is the sum.
    began=$SECONDS code=0
    "$programs/mtids-train" fit --config "$settings/$setting.toml" --set "seed=$seed" --dataset "$out/dataset" --run "$run" >/dev/null || code=$?
    echo $((SECONDS - began)) >>"$out/seconds-$name"
    [ "$code" -eq 0 ] || exit "$code"
    "$programs/mtids-train" evaluate --run "$run" --dataset "$out/dataset" >/dev/null
  done
done
[ -x .venv/bin/python ] || make python
# The table of docs/phantom.md has all cohorts or is left as it is.
if [ "$(ls out/cohorts/{easy,realistic,hard,no-signal,pet}/dataset/index.parquet 2>/dev/null | wc -l)" -eq 5 ]; then
  .venv/bin/python scripts/cohorts/table.py out/cohorts docs/phantom.md
fi
.venv/bin/python scripts/cohorts/results.py out/cohorts docs/results/cohorts.md
