#!/usr/bin/env bash
# Training steps under every balancer beside the plain sum, and TorchJD's beside PyTorch's; writes docs/benchmarks/balance_cost.md. Arguments: the cargo
# profile (dev or release), how many rounds, a Python with scripts/benchmarks/requirements-balance-cost.txt (made in .venv-balance-cost if not given).
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:-dev}
rounds=${2:-7}
python=${3:-.venv-balance-cost/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv .venv-balance-cost
  "$python" -m pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-balance-cost.txt
fi
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-train --example balance_cost
folder=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")/examples
"$python" scripts/benchmarks/balance_cost.py "$folder/balance_cost" "$profile" "$rounds"
