#!/usr/bin/env bash
# Tests, bench, profile and short trainings on this machine's NVIDIA GPU; results.json says what came out.
# Usage: ./run.sh [FOLDER FOR THE RESULTS] [tests|bench|profile|train|all]
#
# Each part can be run by itself and leaves a file of its own; results.json joins what is there, and is written after every part and every line of the bench.
# Where a command is limited in time, run the parts one after the other. A bench that was cut off goes on where it stood; in another folder it begins anew.
# Needs a driver for CUDA 13 (580 or later), the libraries of CUDA 13 and cuDNN 9. They are taken from the nvidia packages of the Python that PYTHON names
# (those that PyTorch installs), and from LD_LIBRARY_PATH. DATASET: a dataset for the trainings in the place of phantoms; STEPS: steps of a training (200);
# ROOM_BATCH: rows for which the card should have no room (768). Exit code 2: something is missing, and what; 1: a part failed, see results.json.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/results} part=${2:-all}
bin=$here/bin
case $part in
  tests | bench | profile | train | all) ;;
  *) echo "there is no part $part: tests, bench, profile, train, all" >&2; exit 2 ;;
esac

folders=$("${PYTHON:-python3}" - 2>/dev/null <<'PYTHON'
import pathlib
import nvidia
print(":".join(sorted(str(path) for root in nvidia.__path__ for path in pathlib.Path(root).glob("*/lib"))))
PYTHON
) || folders=
export LD_LIBRARY_PATH=$folders${folders:+${LD_LIBRARY_PATH:+:}}${LD_LIBRARY_PATH:-}

"$bin/mtids-cuda-start" "$bin/mtids-train" --version || exit $?
mkdir -p "$out"
out=$(cd "$out" && pwd)
# The driver translates the kernels once for all programs and parts; its own limit is too small for candle's.
export CUDA_CACHE_PATH=$out/nv-cache CUDA_CACHE_MAXSIZE=4294967296
failed=0

# What a shell can say in JSON: a text in quotes, whole lines as a list, a file or null.
quoted() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }
list() { [ -s "$1" ] && printf '[%s]' "$(paste -s -d, "$1")" || printf '[]'; }
file() { [ -s "$1" ] && cat "$1" || printf 'null'; }

card=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -1)
echo "card: $card"

results() {
  {
    printf '{"card":%s,"tests":%s,"bench":%s,' "$(quoted "$card")" "$(file "$out/tests.json")" "$(list "$out/bench.jsonl")"
    printf '"profile":%s,"training":%s}\n' "$(file "$out/profile.json")" "$(file "$out/training.json")"
  } >"$out/results.json.new"
  mv "$out/results.json.new" "$out/results.json"
}
trap results EXIT
trap 'kill $(jobs -p) 2>/dev/null; exit 1' INT TERM HUP

# Samples of the card beside a command, five a second: its share of busy time and its memory.
watched() {
  local samples=$1
  shift
  nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits --loop-ms=200 >"$samples" 2>/dev/null &
  local watcher=$!
  "$@"
  local code=$?
  kill "$watcher" 2>/dev/null
  wait "$watcher" 2>/dev/null
  return $code
}
summary() {
  awk -F', *' 'NF == 2 { n++; busy += $1; if ($2 > most) most = $2 } END { printf "{\"samples\":%d,\"busy_percent\":%.1f,\"most_memory_mib\":%d}", n, n ? busy / n : 0, most }' "$1"
}

tests() {
  echo "tests"
  rm -f "$out/tests.log" "$out/tests.json"
  local code=0
  for program in cuda-operation-tests cuda-tests; do
    "$bin/$program" --include-ignored --test-threads=1 >>"$out/tests.log" 2>&1 || code=1
  done
  grep -E '^test ' "$out/tests.log"
  printf '{"exit_code":%d,"passed":%d,"failed":%d}' $code "$(grep -cE '^test .* ok$' "$out/tests.log")" "$(grep -cE '^test .* FAILED$' "$out/tests.log")" >"$out/tests.json"
  [ $code = 0 ] || failed=1
}

# One line of the bench, unless an earlier run has it.
bench_line() {
  if grep -qF "\"asked\":$(quoted "$*")," "$out/bench.jsonl" 2>/dev/null; then return; fi
  echo "  $*"
  # A line that failed is tried again.
  if [ -e "$out/bench.jsonl" ]; then
    grep -vF "{\"failed\":$(quoted "$*")}" "$out/bench.jsonl" >"$out/bench.jsonl.new"
    mv "$out/bench.jsonl.new" "$out/bench.jsonl"
  fi
  if watched "$out/samples.csv" "$bin/card-step" "$@" >"$out/line.json" 2>>"$out/bench.log"; then
    printf '{"asked":%s,"step":%s,"card":%s}\n' "$(quoted "$*")" "$(cat "$out/line.json")" "$(summary "$out/samples.csv")" >>"$out/bench.jsonl"
  else
    failed=1
    printf '{"failed":%s}\n' "$(quoted "$*")" >>"$out/bench.jsonl"
  fi
  rm -f "$out/line.json" "$out/samples.csv"
  results
}

# Digest of the weights of a line; nothing where it failed.
weights_of() { grep -F "\"asked\":$(quoted "$1")," "$out/bench.jsonl" 2>/dev/null | grep -oE '"weights":"[^"]*"' || true; }

bench() {
  echo "bench"
  for kind in slices volume; do
    for precision in f32 tf32 bf16; do
      for batch in 64 256; do
        for rule in dd-gb equal-sum; do
          bench_line kind=$kind precision=$precision batch=$batch rule=$rule algorithms=reproducible steps=50
        done
        bench_line kind=$kind precision=$precision batch=$batch rule=dd-gb algorithms=quickest-not-reproducible steps=50
      done
    done
    # The first line once more (`cuda` is `cuda:0`): losses and weights must be the same. Then eight tasks, more experts, averages.
    bench_line kind=$kind precision=f32 batch=64 rule=dd-gb algorithms=reproducible steps=50 device=cuda
    local first="kind=$kind precision=f32 batch=64 rule=dd-gb algorithms=reproducible steps=50"
    if [ "$(weights_of "$first")" != "$(weights_of "$first device=cuda")" ]; then
      echo "  two trainings of one seed end with other weights: $first"
      failed=1
    fi
    for rule in dd-gb equal-sum; do bench_line kind=$kind tasks=8 rule=$rule steps=50; done
    bench_line kind=$kind shared=6 private=4 steps=50
    bench_line kind=$kind average=0.999 steps=50
  done
  bench_line kind=volume size=resnet18 precision=bf16 batch=32 steps=20
}

profile() {
  echo "profile"
  if command -v nsys >/dev/null; then
    printf '"profile.log"' >"$out/profile.json"
    nsys profile --stats=true --force-overwrite=true --output="$out/profile" "$bin/card-step" steps=20 >"$out/profile.log" 2>&1 || failed=1
  else
    rm -f "$out/profile.json"
    echo "  no nsys here: only busy time and memory were sampled"
  fi
}

# A training of the demo's network, of a few epochs at most: a word before the command (`exec`, or nothing), the run's folder, more settings.
fit_by() {
  local word=$1 run=$2
  shift 2
  $word "$bin/mtids-cuda-start" "$bin/mtids-train" fit --config "$here/demo/train.toml" --dataset "$dataset" --run "$run" --set device=cuda:0 \
    --set max_steps="${STEPS:-200}" --set checkpoint_every_steps=20 --set average_decay=0.99 "$@"
}
fit() { fit_by "" "$@"; }
# The weights that a run ended with; nothing where it has none.
weights() { echo "$1/checkpoints/$(cat "$1/checkpoints/latest" 2>/dev/null)/weights.safetensors"; }
# Whether two runs end with the same bits.
same() { if cmp -s "$(weights "$1")" "$(weights "$2")"; then printf true; else printf false; fi; }

# Ends a training once it has a checkpoint, and begins again there.
interrupted() {
  local run=$1 code
  # The signal is for the training itself.
  fit_by exec "$run" &
  local training=$!
  for _ in $(seq 6000); do
    [ -s "$run/checkpoints/latest" ] && break
    kill -0 $training 2>/dev/null || break
    sleep 0.02
  done
  kill -TERM $training 2>/dev/null
  wait $training
  code=$?
  # 4: interrupted. A training that was quicker than the signal shows nothing.
  [ $code = 4 ] || return 5
  fit "$run"
}

train() {
  echo "training"
  local code start
  dataset=${DATASET:-$out/dataset}
  rm -rf "$out/training.log" "$out/training.json" "$out"/run-*
  if [ -z "${DATASET:-}" ] && [ ! -e "$out/dataset/manifest.json" ]; then
    rm -rf "$out/cohort" "$out/dataset"
    "$bin/mtids-prep" phantom --config "$here/demo/phantom.toml" --set patients=200 --out "$out/cohort" >>"$out/training.log" 2>&1 &&
      "$bin/mtids-prep" build --config "$here/demo/dataset.toml" --data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv" \
        --annotations "$out/cohort/masks" --out "$out/dataset" >>"$out/training.log" 2>&1
    # 1 means: done, look at the findings.
    [ $? -le 1 ] || { failed=1; printf '{"exit_code":1,"failed":"the dataset"}' >"$out/training.json"; return; }
  fi
  start=$SECONDS
  watched "$out/samples.csv" fit "$out/run-first" >>"$out/training.log" 2>&1
  code=$?
  local seconds=$((SECONDS - start))
  fit "$out/run-second" >>"$out/training.log" 2>&1 || code=1
  interrupted "$out/run-resumed" >>"$out/training.log" 2>&1
  local resumed=$?
  # A network and a batch that the largest cards have no room for. The message names a batch that fits.
  fit "$out/run-large" --set model.backbone.kind=volume --set model.backbone.size=resnet34 --set model.backbone.stem_stride=1 \
    --set batch_size="${ROOM_BATCH:-768}" >"$out/room.log" 2>&1
  local room=$?
  local bits two
  bits=$(same "$out/run-first" "$out/run-second") two=$(same "$out/run-first" "$out/run-resumed")
  [ $code = 0 ] && [ $resumed = 0 ] && [ $room = 2 ] && [ "$bits$two" = truetrue ] || failed=1
  {
    printf '{"exit_code":%d,"seconds":%d,"card":%s,' $code $seconds "$(summary "$out/samples.csv")"
    printf '"two_runs_have_the_same_bits":%s,"resumed":{"exit_code":%d,"same_bits":%s},' "$bits" $resumed "$two"
    printf '"no_room":{"exit_code":%d,"message":%s},' $room "$(quoted "$(grep -F 'has no memory' "$out/room.log" | tail -1)")"
    printf '"steps":%s,"epochs":%s}' "$(list "$out/run-first/timings.jsonl")" "$(list "$out/run-first/epochs.jsonl")"
  } >"$out/training.json"
  rm -f "$out/samples.csv"
  echo "  two runs of the same bits: $bits; resumed as unbroken: $two; no room: exit code $room"
}

if [ "$part" = all ]; then parts="tests bench profile train"; else parts=$part; fi
for name in $parts; do
  $name
  results
done
echo "written: $out/results.json"
exit $failed
