#!/usr/bin/env bash
# Checks each feature of each crate by itself, and no feature; those for a GPU are checked by `make cuda-check`, MPI by `make mpi-check`. Called by `make features`.
set -euo pipefail
cd "$(dirname "$0")/../.."
for manifest in crates/*/Cargo.toml; do
  features=$(awk '/^\[/ { on = $0 == "[features]" } on && match($0, /^[a-z0-9_-]+ *=/) { sub(/ *=.*/, ""); print }' "$manifest" |
    grep -vxE 'default|cuda-basic|cuda|nccl|mpi' || true)
  [ -n "$features" ] || continue
  package=$(basename "$(dirname "$manifest")")
  for feature in "" $features; do
    echo "$package: ${feature:-no feature}"
    "${CARGO:-cargo}" check --locked --quiet --package "$package" --no-default-features --features "$feature"
  done
done
