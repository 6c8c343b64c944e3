#!/usr/bin/env bash
# What a user does with the wheel: a fresh environment, without cargo and without this checkout in the way. Argument: folder of the wheels. Called by
# `make check-wheel`; needs the wheel (make wheel), and PyPI for NumPy and polars.
set -euo pipefail
cd "$(dirname "$0")/../.."
wheel=$(realpath "$(ls -t "$1"/mtids-*.whl | head -1)") settings=$PWD/pipelines/demo-short top=$PWD
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$out"
began=$SECONDS
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check "$wheel"
printf 'installed in %s s: %s MB\n' "$((SECONDS - began))" "$(du -sm environment/lib/python3.*/site-packages/mtids | cut -f1)"
# Nothing of the toolchain, and none of our variables.
clean=(env -i "PATH=$out/environment/bin:/usr/bin:/bin" "HOME=$out")
! "${clean[@]}" sh -c 'command -v cargo' >/dev/null
for program in mtids-prep mtids-audit mtids-train; do
  "${clean[@]}" "$program" --version
  "${clean[@]}" "$program" --help >/dev/null
  code=0
  "${clean[@]}" "$program" --no-such-option 2>/dev/null || code=$?
  [ "$code" -eq 2 ]
done
began=$SECONDS
"${clean[@]}" mtids-prep phantom --config "$settings/phantom.toml" --out cohort >/dev/null 2>&1
findings() { local code=0; "$@" >/dev/null 2>&1 || code=$?; [ "$code" -le 1 ]; }
findings "${clean[@]}" mtids-prep build --config "$settings/dataset.toml" --data cohort/dicom --annotations cohort/annotations.csv --annotations cohort/masks --out dataset
findings "${clean[@]}" mtids-audit report dataset --config "$settings/audit.toml" --out audit
"${clean[@]}" mtids-train fit --config "$settings/train.toml" --dataset dataset --run run >/dev/null 2>&1
"${clean[@]}" mtids-train evaluate --dataset dataset --run run >/dev/null 2>&1
printf 'phantom, build, audit, fit, evaluate: %s s\n' "$((SECONDS - began))"
# A signal ends a program as it ends the one of cargo: exit code 4, and the same command goes on.
"${clean[@]}" mtids-train fit --config "$settings/train.toml" --dataset dataset --run again >/dev/null 2>&1 &
for _ in $(seq 200); do [ ! -s again/losses.jsonl ] || break; sleep 0.05; done
kill -INT $! 2>/dev/null || true
code=0
wait $! || code=$?
[ "$code" -eq 4 ] || { echo "SIGINT: exit code $code" >&2; exit 1; }
"${clean[@]}" mtids-train fit --config "$settings/train.toml" --dataset dataset --run again >/dev/null 2>&1
last=$(basename "$(ls -d run/checkpoints/step-* | tail -1)")
cmp "run/checkpoints/$last/weights.safetensors" "again/checkpoints/$last/weights.safetensors"
# The page on Python, line by line, with what it names.
environment/bin/pip install --quiet --disable-pip-version-check "$(grep '^polars==' "$top/tests/python/requirements.txt")"
mkdir -p out/demo
ln -s ../../dataset ../../run out/demo
ln -s cohort/dicom studies
cp cohort/annotations.csv points.csv
"${clean[@]}" environment/bin/python "$top/tests/python/guide_blocks.py" "$top/docs/guide/pytorch.md"
