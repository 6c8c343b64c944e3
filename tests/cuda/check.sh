#!/usr/bin/env bash
# Type-checks the trainer with `--features cuda`, links it, counts the launches of a training step, and fills the memory of a dry card, on a machine
# without a GPU. Called by `make cuda-check`; argument: a dataset.
set -euo pipefail
cd "$(dirname "$0")/../.."
dataset=$1
. tests/cuda/environment.sh

for generation in 80 90; do
  for kernels in norm rows update; do
    "$NVCC" -cubin -arch="sm_$generation" -O3 -Werror all-warnings -o "$root/${kernels}_$generation.cubin" "crates/mtids-cuda/kernels/$kernels.cu"
  done
done
echo "our kernels compiled for sm_80 and sm_90"

# A target directory of its own: the feature changes what candle is built from.
echo "type-check with $("$NVCC" --version | tail -2 | head -1)"
start=$SECONDS
"$cargo" clippy --locked "${packages[@]}" --features "$(features cuda)" --all-targets --target-dir "$root/build" -- -D warnings
# Without cuDNN and kernels of our own, tests too; cudarc and candle stay what they were built as.
"$cargo" clippy --locked "${packages[@]}" --features "$(features cuda-basic),mtids-cuda/cuda" --all-targets --target-dir "$root/build" -- -D warnings
echo "type-check passed in $((SECONDS - start)) s"
start=$SECONDS
"$cargo" build --locked "${packages[@]}" --features "$(features cuda)" --bin mtids-train --example card_step --target-dir "$root/build"
echo "linked in $((SECONDS - start)) s"
start=$SECONDS
bash tests/cuda/launches.sh
echo "launches counted in $((SECONDS - start)) s, on a dry card: there is no GPU in this check"
bash tests/cuda/memory.sh "$root/build/debug/mtids-train" "$root/lib" "$dataset"
rm -f "$root/build/debug/mtids-train"
