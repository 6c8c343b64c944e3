#!/usr/bin/env bash
# Each operation by itself, then the network's gradient and parity tests, on an NVIDIA GPU beside the CPU. Called by `make cuda-test`. Without a GPU it runs
# nothing, and says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi --list-gpus 2>/dev/null | grep -q GPU; then
  echo "no NVIDIA GPU on this machine: nothing was run"
  exit 0
fi
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
"${CARGO:-cargo}" test --locked -p mtids-cuda -p mtids-models --features mtids-models/cuda --test card --test cuda -- --include-ignored
