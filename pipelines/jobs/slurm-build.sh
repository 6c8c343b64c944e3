#!/usr/bin/env bash
# A build as a Slurm job array, published by a job that waits for it. All tasks and the commit get the same settings.
#
#   DATA=/studies ANNOTATIONS=/labels/nodes.csv OUT=/datasets/mine CONFIG=pipelines/studies/dataset.toml TASKS=32 \
#     MTIDS_PSEUDONYM_KEY="$(cat project.key)" bash pipelines/jobs/slurm-build.sh
#
# Any task may fail and be requeued, also while another copy of it still runs; nothing is published before the commit. If a task fails for good, the
# commit is cancelled. Exit code 1 of the commit is a published dataset with issues, which the job's log tells: the job has succeeded.
set -euo pipefail
: "${DATA:?folder with DICOM files}" "${ANNOTATIONS:?table of findings}" "${OUT:?folder of the dataset}" "${CONFIG:?settings}" "${TASKS:=16}"
: "${PROGRAM:=mtids-prep}" "${CPUS:=4}"
arguments=(--data "$DATA" --annotations "$ANNOTATIONS" --out "$OUT" --config "$CONFIG")
build=$(sbatch --parsable --requeue --array="0-$((TASKS - 1))" --cpus-per-task="$CPUS" --job-name=mtids-build \
  --wrap "$(printf '%q ' "$PROGRAM" build "${arguments[@]}" --task-from-env --workers "$CPUS")")
sbatch --dependency="afterok:${build%%;*}" --kill-on-invalid-dep=yes --cpus-per-task="$CPUS" --job-name=mtids-commit \
  --wrap "$(printf '%q ' "$PROGRAM" commit "${arguments[@]}" --workers "$CPUS") || { code=\$?; [ \$code -eq 1 ] || exit \$code; }"
