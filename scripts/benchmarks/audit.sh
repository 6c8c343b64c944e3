#!/usr/bin/env bash
# An audit of many rows beside pandas' group-bys. Called by `make bench-audit`; arguments: the cargo profile, a dataset whose index is tiled, rows, sites,
# rounds. The index is kept in out/bench-audit and takes about 200 bytes a row. The table goes to the terminal.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=$1 dataset=$2 rows=$3 sites=$4 rounds=$5
target=${CARGO_TARGET_DIR:-target}
programs=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
[ -d .venv-audit ] || python3 -m venv .venv-audit
.venv-audit/bin/pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-audit.txt
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-audit --bin mtids-audit --example tile_index
tiled=out/bench-audit/$rows-$sites
if [ ! -f "$tiled/manifest.json" ]; then
  "$programs/examples/tile_index" "$dataset" "$tiled" "$rows" "$sites" >&2
fi
.venv-audit/bin/python scripts/benchmarks/audit.py "$programs/mtids-audit" "$profile" "$tiled" "$rounds"
