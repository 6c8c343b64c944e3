#!/usr/bin/env bash
# A phantom beside a real chest CT: pictures, HU of tissues, noise power. Called by `make phantom-pictures`; argument: folder of the programs.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1
real=../shared/data/chest-ct-lung1/ct
[ -d "$real" ] || { echo "the real CT is not here: $real" >&2; exit 3; }
out=out/phantom-picture
"$programs/mtids-prep" phantom --config pipelines/phantom-picture/phantom.toml --out "$out" >/dev/null
rm -rf out/inserted
"$programs/mtids-prep" insert --data "$real" --out out/inserted --set nodes=8 --set seed=3
.venv/bin/python scripts/phantom/pictures.py "$real" "$out" out/inserted docs
