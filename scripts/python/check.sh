#!/usr/bin/env bash
# The Python module as cargo builds it, beside the libraries in Rust. Arguments: profile, dataset of two views, cycles of forks and kills. Called by
# `make check-package`; needs .venv (make python).
# MTIDS_SCRIPT: another script to run with the module, without the checks of types.
#
# The module is compiled together with the workspace, so that dependencies are compiled once: a wheel for others is made by `make wheel`.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=$1 dataset=$2 cycles=$3 script=${MTIDS_SCRIPT:-tests/python/check_package.py}
target=${CARGO_TARGET_DIR:-target}
folder=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" --workspace --bins --lib
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
cp -r crates/mtids-python/python/mtids "$package/"
cp "$folder/lib_mtids.so" "$package/mtids/_mtids.abi3.so"
PYTHONPATH=$package .venv/bin/python "$script" "$dataset" "$folder/rust-reference" "$cycles"
[ -z "${MTIDS_SCRIPT:-}" ] || exit 0
(cd "$package" && "$OLDPWD/.venv/bin/python" -m mypy --strict -p mtids --exclude mtids/torch.py)
(cd "$package" && "$OLDPWD/.venv/bin/python" -m mypy.stubtest mtids._mtids --ignore-missing-stub)
