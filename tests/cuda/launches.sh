#!/usr/bin/env bash
# Counts the launches of a training step without a GPU: the program as it is, on a dry card (dry/). Called by `make cuda-launches`; argument: `write` or none.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/cuda/environment.sh

# The second with candle's operations alone; cudarc and candle stay what they were built as.
program=$root/build/debug/examples/card_step
for form in composed ours; do
  [ "$form" = ours ] && chosen=$(features cuda) || chosen=$(features cuda-basic),mtids-cuda/cuda
  "$cargo" build --locked "${packages[@]}" --features "$chosen" --example card_step --target-dir "$root/build"
  cp "$program" "$root/card_step_$form"
done
LD_LIBRARY_PATH=$root/lib python3 tests/cuda/launches.py "$root/card_step_ours" "$root/card_step_composed" "$@"
