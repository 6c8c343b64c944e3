# What a build for NVIDIA GPUs needs on a machine without one. Sourced by check.sh, launches.sh and bundle.sh, in the folder of the workspace.
#
# The compiler comes as wheels (requirements.txt). What only a driver or the large libraries bring is stood in for by a dry card (dry/): libraries with
# the names that cudarc declares, whose functions do nothing, except those of dry/*.c. NVCC of a real toolkit is taken where it is set.
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
  # Weak, so that a function of dry/ takes its place.
  grep -oE '^pub unsafe fn [A-Za-z0-9_]+' "$cudarc/src/$module/sys/mod.rs" | awk '{ print $4 }' | sort -u |
    awk '{ print "__attribute__((weak)) int " $1 "(void) { return 0; }" }' >"$root/$library.c"
  sources=("$root/$library.c")
  [ -f "tests/cuda/dry/$library.c" ] && sources+=("tests/cuda/dry/$library.c")
  cc -shared -fPIC -w -O1 -Wl,-soname,"lib$library.so.$version" -o "$root/lib/lib$library.so.$version" "${sources[@]}"
  ln -s "lib$library.so.$version" "$root/lib/lib$library.so"
done
cudart=$(find "$toolkit"/lib "$toolkit"/lib64 "$toolkit"/targets -name 'libcudart.so*' 2>/dev/null | head -1 || true)
[ -n "$cudart" ] || { echo "no libcudart.so under $toolkit" >&2; exit 1; }
ln -s "$cudart" "$root/lib/libcudart.so"
ln -s "$cudart" "$root/lib/libcudart.so.13"
export CUDA_HOME=$root

# One set of packages for all builds: with another one cargo would build candle again.
packages=(-p mtids-cuda -p mtids-layers -p mtids-models -p mtids-train)
features() { printf 'mtids-layers/%s,mtids-models/%s,mtids-train/%s' "$1" "$1" "$1"; }
