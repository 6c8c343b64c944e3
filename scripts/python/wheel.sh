#!/usr/bin/env bash
# The Python package as a wheel for any Linux with glibc 2.28, by maturin and zig from PyPI. Arguments: profile (wheel, or dev to try it), folder of the
# wheels. Called by `make wheel`; auditwheel checks the result.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=$1 wheels=$2
[ -x .venv-wheel/bin/maturin ] || python3 -m venv .venv-wheel
.venv-wheel/bin/pip install --quiet --disable-pip-version-check --requirement scripts/python/wheel_requirements.txt
# zig is found as the module of this environment.
export PATH=$PWD/.venv-wheel/bin:$PATH VIRTUAL_ENV=$PWD/.venv-wheel
began=$SECONDS
maturin build --locked --quiet --manifest-path crates/mtids-python/Cargo.toml --profile "$profile" --zig --compatibility manylinux_2_28 --out "$wheels"
wheel=$(ls -t "$wheels"/mtids-*.whl | head -1)
found=$(auditwheel show "$wheel")
[[ $found == *manylinux_2_28_x86_64* ]] || { printf '%s\n' "$found"; exit 1; }
printf '%s: %s MB, %s s\n' "$wheel" "$(($(stat --format=%s "$wheel") / 1000000))" "$((SECONDS - began))"
