#!/usr/bin/env bash
# Everything that a machine with an NVIDIA GPU and without a registry needs, in one archive: programs, tests, bench and bundle/run.sh. Called by
# `make cuda-bundle`; arguments: profile, OUT. Needs no GPU. Ends in the archive unpacked, and started to what it says without a card.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=$1 out=$2
. tests/cuda/environment.sh

build=$root/build
made=$build/$([ "$profile" = dev ] && echo debug || echo "$profile")
options=(--locked --profile "$profile" --target-dir "$build")
"$cargo" build "${options[@]}" "${packages[@]}" --features "$(features cuda)" --bin mtids-train --example card_step
# The executable of a test, by its name.
tests=$("$cargo" test "${options[@]}" "${packages[@]}" --features "$(features cuda)" --test cuda --test card --no-run --message-format json |
  python3 -c 'import json, sys; [print(m["target"]["name"], m["executable"]) for m in map(json.loads, sys.stdin) if m.get("executable")]')
test_named() { awk -v name="$1" '$1 == name { found = $2 } END { print found }' <<<"$tests"; }
# These link no library of CUDA.
"$cargo" build --locked --profile "$profile" -p mtids-cuda --bin mtids-cuda-start
"$cargo" build --locked --profile "$profile" -p mtids-prep --bin mtids-prep
plain=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")

name=mtids-cuda-$(uname -m)
folder=$root/$name
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/demo" "$out"
copy() { strip -o "$folder/bin/$2" "$1"; }
copy "$made/mtids-train" mtids-train
copy "$made/examples/card_step" card-step
copy "$(test_named cuda)" cuda-tests
copy "$(test_named card)" cuda-operation-tests
copy "$plain/mtids-cuda-start" mtids-cuda-start
copy "$plain/mtids-prep" mtids-prep
cp tests/cuda/bundle/run.sh "$folder/"
cp pipelines/demo/{phantom,dataset,train}.toml "$folder/demo/"

# One window over all programs: they share most of their code.
archive=$out/$name.tar.xz
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$root" -cf - "$name" |
  xz --threads=1 --lzma2=preset=9e,dict=256MiB >"$archive"
rm -rf "$folder"
size=$(stat -c %s "$archive")
echo "$archive: $((size / 1000)) kB"
[ "$size" -le 40000000 ] || { echo "the archive is larger than 40 MB" >&2; exit 1; }

# As on a machine without a card.
if ! command -v nvidia-smi >/dev/null; then
  try=$(mktemp -d)
  trap 'rm -rf "$try"' EXIT
  tar -C "$try" -xf "$archive"
  code=0
  PYTHON=false "$try/$name/run.sh" "$try/results" 2>"$try/said" || code=$?
  cat "$try/said"
  grep -q 'no NVIDIA driver here' "$try/said" && [ $code = 2 ] || { echo "ended with $code, not with the message and 2" >&2; exit 1; }
  echo "unpacked and started: no card here, exit code 2"
fi
