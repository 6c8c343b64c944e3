#!/usr/bin/env bash
# Tests, bench, profile and a short training on this machine's NVIDIA GPU; results.json says what came out. Usage: ./run.sh [FOLDER FOR THE RESULTS]
#
# Needs a driver for CUDA 13 (580 or later), the libraries of CUDA 13 and cuDNN 9. They are taken from the nvidia packages of the Python that PYTHON names
# (those that PyTorch installs), and from LD_LIBRARY_PATH. Exit code 2: something is missing, and what; 1: a part failed, see results.json.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/results}
bin=$here/bin

folders=$("${PYTHON:-python3}" - 2>/dev/null <<'PYTHON'
import pathlib
import nvidia
print(":".join(sorted(str(path) for root in nvidia.__path__ for path in pathlib.Path(root).glob("*/lib"))))
PYTHON
) || folders=
export LD_LIBRARY_PATH=$folders${folders:+${LD_LIBRARY_PATH:+:}}${LD_LIBRARY_PATH:-}

"$bin/mtids-cuda-start" "$bin/mtids-train" --version || exit $?
mkdir -p "$out"
rm -f "$out"/*.log "$out"/bench.jsonl "$out/results.json"
failed=0

# What a shell can say in JSON: a text in quotes.
quoted() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }
# Whole lines of JSON as a list.
list() { [ -s "$1" ] && printf '[%s]' "$(paste -s -d, "$1")" || printf '[]'; }

card=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -1)
echo "card: $card"

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

echo "tests"
"$bin/cuda-tests" --include-ignored --test-threads=1 >"$out/tests.log" 2>&1
tests_code=$?
[ $tests_code = 0 ] || failed=1
grep -E '^test ' "$out/tests.log"

echo "bench"
bench() {
  echo "  $*"
  if watched "$out/samples.csv" "$bin/card-step" "$@" >"$out/line.json" 2>>"$out/bench.log"; then
    printf '{"step":%s,"card":%s}\n' "$(cat "$out/line.json")" "$(summary "$out/samples.csv")" >>"$out/bench.jsonl"
  else
    failed=1
    printf '{"failed":%s}\n' "$(quoted "$*")" >>"$out/bench.jsonl"
  fi
}
for kind in slices volume; do
  for precision in f32 tf32 bf16; do
    for batch in 64 256; do
      for rule in dd-gb equal-sum; do bench kind=$kind precision=$precision batch=$batch rule=$rule steps=50; done
    done
  done
  # Eight tasks, and more experts.
  for rule in dd-gb equal-sum; do bench kind=$kind tasks=8 rule=$rule steps=50; done
  bench kind=$kind shared=6 private=4 steps=50
done
bench kind=volume size=resnet18 precision=bf16 batch=32 steps=20

echo "profile"
if command -v nsys >/dev/null; then
  nsys profile --stats=true --force-overwrite=true --output="$out/profile" "$bin/card-step" steps=20 >"$out/profile.log" 2>&1 || failed=1
  profile='"profile.log"'
else
  profile=null
  echo "  no nsys here: only busy time and memory were sampled"
fi

echo "training"
train() {
  local cohort=$out/cohort code
  "$bin/mtids-prep" phantom --config "$here/demo/phantom.toml" --out "$cohort" || return
  "$bin/mtids-prep" build --config "$here/demo/dataset.toml" --data "$cohort/dicom" --annotations "$cohort/annotations.csv" --annotations "$cohort/masks" --out "$out/dataset"
  code=$?
  # 1 means: done, look at the findings.
  [ $code -le 1 ] || return $code
  start=$SECONDS
  watched "$out/samples.csv" "$bin/mtids-cuda-start" "$bin/mtids-train" fit --config "$here/demo/train.toml" --dataset "$out/dataset" --run "$out/run" --set device=cuda:0
}
rm -rf "$out/cohort" "$out/dataset" "$out/run"
start=$SECONDS
train >"$out/training.log" 2>&1
training_code=$?
[ $training_code = 0 ] || failed=1

{
  printf '{"card":%s,' "$(quoted "$card")"
  printf '"tests":{"exit_code":%d,"passed":%d,"failed":%d},' $tests_code "$(grep -cE '^test .* ok$' "$out/tests.log")" "$(grep -cE '^test .* FAILED$' "$out/tests.log")"
  printf '"bench":%s,' "$(list "$out/bench.jsonl")"
  printf '"profile":%s,' "$profile"
  printf '"training":{"exit_code":%d,"seconds":%d,"card":%s,"steps":%s,"epochs":%s}}\n' $training_code $((SECONDS - start)) \
    "$(summary "$out/samples.csv")" "$(list "$out/run/timings.jsonl")" "$(list "$out/run/epochs.jsonl")"
} >"$out/results.json"
rm -f "$out/line.json" "$out/samples.csv"
echo "written: $out/results.json"
exit $failed
