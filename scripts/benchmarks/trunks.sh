#!/usr/bin/env bash
# The default trunks beside PyTorch on the CPU, in turn. Arguments: the cargo profile (dev or release), a Python with the packages of
# scripts/benchmarks/requirements-layers.txt (made in .venv-layers if not given), then optionally how many rounds and which trunks. Prints a
# Markdown table.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:-dev}
python=${2:-.venv-layers/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv .venv-layers
  "$python" -m pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-layers.txt
fi
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-layers --example trunks
programs=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")/examples
echo "date $(date +%F), profile $profile, $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
"$python" scripts/benchmarks/trunks.py "$programs" "${@:3}"
