#!/usr/bin/env bash
# Type-checks the trainer with `--features cuda` and links it, on a machine without a GPU. Called by `make cuda-check`.
#
# The compiler comes as wheels (requirements.txt). What only a driver or the large libraries bring is stood in for by empty libraries with the names
# that cudarc declares: a program linked against them runs nowhere, and is thrown away. NVCC of a real toolkit is taken where it is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
root=$(mkdir -p "$target/cuda-check" && cd "$target/cuda-check" && pwd)

# PTX of this generation runs on it and on later ones; cudarc knows this version of the toolkit.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-13000}
if [ -z "${NVCC:-}" ]; then
  [ -d .venv-cuda ] || python3 -m venv .venv-cuda
  .venv-cuda/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/cuda/requirements.txt
  toolkit=$(.venv-cuda/bin/python -c 'import nvidia, pathlib; print(pathlib.Path(list(nvidia.__path__)[0]) / "cu13")')
  export NVCC=$toolkit/bin/nvcc
else
  toolkit=$(cd "$(dirname "$NVCC")/.." && pwd)
fi

# Where cargo keeps the source of cudarc that the lock file names.
cudarc=$("$cargo" metadata --locked --format-version 1 --features mtids-train/cuda |
  python3 -c 'import json, os, sys; print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
rm -rf "$root/lib" "$root/include"
mkdir -p "$root/lib"
ln -s "$toolkit/include" "$root/include"
for entry in driver:cuda:1 cudnn:cudnn:9 cublas:cublas:13 cublaslt:cublasLt:13 curand:curand:10 nvrtc:nvrtc:13; do
  IFS=: read -r module library version <<<"$entry"
  grep -oE '^pub unsafe fn [A-Za-z0-9_]+' "$cudarc/src/$module/sys/mod.rs" | awk '{ print $4 }' | sort -u |
    awk '{ print "int " $1 "(void) { return 100; }" }' >"$root/$library.c"
  cc -shared -fPIC -w -Wl,-soname,"lib$library.so.$version" -o "$root/lib/lib$library.so" "$root/$library.c"
done
cudart=$(find "$toolkit"/lib "$toolkit"/lib64 "$toolkit"/targets -name 'libcudart.so*' 2>/dev/null | head -1 || true)
[ -n "$cudart" ] || { echo "no libcudart.so under $toolkit" >&2; exit 1; }
ln -s "$cudart" "$root/lib/libcudart.so"
export CUDA_HOME=$root

for generation in 80 90; do
  "$NVCC" -cubin -arch="sm_$generation" -O3 -Werror all-warnings -o "$root/norm_$generation.cubin" crates/mtids-cuda/kernels/norm.cu
done
echo "our kernels compiled for sm_80 and sm_90"

# A target directory of its own: the feature changes what candle is built from.
echo "type-check with $("$NVCC" --version | tail -2 | head -1)"
packages=(-p mtids-cuda -p mtids-layers -p mtids-models -p mtids-train)
features() { printf 'mtids-layers/%s,mtids-models/%s,mtids-train/%s' "$1" "$1" "$1"; }
start=$SECONDS
"$cargo" clippy --locked "${packages[@]}" --features "$(features cuda)" --all-targets --target-dir "$root/build" -- -D warnings
# Without cuDNN and kernels of our own, tests too.
"$cargo" clippy --locked -p mtids-layers --features mtids-layers/cuda-basic --all-targets --target-dir "$root/build" -- -D warnings
echo "type-check passed in $((SECONDS - start)) s"
start=$SECONDS
"$cargo" build --locked -p mtids-train --features cuda --bin mtids-train --target-dir "$root/build"
rm -f "$root/build/debug/mtids-train"
echo "linked in $((SECONDS - start)) s; nothing was run: there is no GPU in this check"
