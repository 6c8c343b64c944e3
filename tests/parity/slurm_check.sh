#!/usr/bin/env bash
# The Slurm scripts of pipelines/jobs on a real Slurm of one node: a build by a job array, with tasks cancelled and requeued, beside a build in one
# piece; a training that is requeued in the middle beside an unbroken one. Argument: folder of the programs. Called by `make check-slurm`.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD programs=$(realpath "$1") out=$(mktemp -d)
export SLURM_CONF=$out/slurm/slurm.conf PATH=$programs:$PATH
trap 'bash "$root/tests/parity/slurm.sh" stop "$out/slurm"; rm -rf "$out"' EXIT
bash tests/parity/slurm.sh start "$out/slurm"
settings=pipelines/demo-short

# Waits until the queue is empty.
finished() {
  local _
  for _ in $(seq "$1"); do
    [ -n "$(squeue --noheader)" ] || return 0
    sleep 1
  done
  squeue >&2
  echo "jobs hang" >&2
  return 1
}

mtids-prep phantom --config $settings/phantom.toml --out "$out/cohort" >/dev/null 2>&1
sources=(--data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv")
mtids-prep build --config $settings/dataset.toml "${sources[@]}" --out "$out/whole" >/dev/null 2>&1 || [ $? -eq 1 ]

cd "$out"
DATA=$out/cohort/dicom ANNOTATIONS=$out/cohort/annotations.csv OUT=$out/array CONFIG=$root/$settings/dataset.toml TASKS=4 CPUS=1 \
  bash "$root/pipelines/jobs/slurm-build.sh"
# One task loses its node, as it were: it is put back into the queue while it runs.
for _ in $(seq 100); do
  running=$(squeue --noheader --states=R --name=mtids-build --format=%i | head -1)
  [ -z "$running" ] || break
  sleep 0.1
done
[ -z "$running" ] || scontrol requeue "$running" || true
finished 300
cmp whole/manifest.json array/manifest.json
echo "build: a job array of 4 tasks, task ${running:-none} requeued: the same manifest as in one piece"

mtids-train fit --config "$root/$settings/train.toml" --dataset whole --run unbroken >/dev/null 2>&1
DATASET=$out/whole RUN=$out/requeued CONFIG=$root/$settings/train.toml MINUTES=10 CPUS=1 bash "$root/pipelines/jobs/slurm-train.sh"
times=0
for _ in $(seq 900); do
  # A job that is requeued waits two minutes; here it need not.
  job=$(squeue --noheader --states=PD --name=mtids-train --format=%i | head -1)
  [ -z "$job" ] || scontrol update "JobId=$job" StartTime=now 2>/dev/null || true
  job=$(squeue --noheader --states=R --name=mtids-train --format=%i | head -1)
  if [ -n "$job" ] && ls requeued/checkpoints/step-* >/dev/null 2>&1 && [ "$times" -lt 2 ]; then
    # As Slurm does before the time limit: the signal goes to the batch script alone.
    scancel --batch --signal=TERM "$job" && times=$((times + 1))
    sleep 2
  fi
  [ -n "$(squeue --noheader)" ] || break
  sleep 0.5
done
finished 300
last=$(basename "$(ls -d unbroken/checkpoints/step-* | tail -1)")
cmp "unbroken/checkpoints/$last/weights.safetensors" "requeued/checkpoints/$last/weights.safetensors"
test -f requeued/evaluation.json
echo "training: $times times interrupted and requeued: the same weights as unbroken, and evaluated"
