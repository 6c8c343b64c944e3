#!/usr/bin/env bash
# Convolutions and whole training steps beside PyTorch on the CPU and plain candle, in turn. Arguments: the cargo profile (dev or release), a Python
# with the packages of scripts/benchmarks/requirements-layers.txt (made in .venv-layers if not given). Prints Markdown tables.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:-dev}
python=${2:-.venv-layers/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv .venv-layers
  "$python" -m pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-layers.txt
fi
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-layers -p mtids-models --examples
programs=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")/examples
echo "date $(date +%F), profile $profile, $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
"$python" scripts/benchmarks/layers.py "$programs"
"$python" scripts/benchmarks/step.py "$programs"
