#!/usr/bin/env bash
# Every benchmark of docs/benchmarks.md: prints lines for its table. Called by `make bench`; argument: the cargo profile (dev or release).
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-dev}
target=${CARGO_TARGET_DIR:-target}
programs=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-nn -p mtids-dicom --examples
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-prep --bins

echo "date $(date +%F), profile $profile, $(nproc) processors"
echo "what | rival | ratio ours ÷ rival: minimum, median, maximum"
"$programs/examples/convolution"

python=.venv/bin/python
if [ ! -x "$python" ]; then
  echo "skipped: reading a series beside pydicom needs .venv (make python)"
  exit 0
fi
cohort=$(mktemp -d)
trap 'rm -rf "$cohort"' EXIT
"$programs/mtids-prep" phantom --out "$cohort/cohort" --set patients=1 --set 'dimensions=[512,512,60]' \
  --set 'spacing_mm=[0.7,0.7,4.0]' --set segmentation_fraction=0.0 >/dev/null 2>&1
series=$(dirname "$(find "$cohort" -name '*.dcm' | head -n 1)")
"$programs/mtids-prep" phantom --config pipelines/demo-short/phantom.toml --out "$cohort/small" --set segmentation_fraction=0.0 >/dev/null 2>&1
version=$("$python" -c 'import pydicom; print(pydicom.__version__)')

# Both print seconds and a figure that must be the same; the first round warms the page cache.
pair() { # what, our example, the rival's script, folder
  local ratios=() ours rival sum expected
  for _ in 0 1 2 3 4 5 6 7 8 9; do
    read -r ours sum <<<"$("$programs/examples/$2" "$4")"
    read -r rival expected <<<"$("$python" "$3" "$4")"
    [ "$sum" = "$expected" ] || { echo "$1: the two found different things: $sum and $expected" >&2; exit 1; }
    ratios+=("$(awk "BEGIN { printf \"%.3f\", $ours / $rival }")")
  done
  printf '%s\n' "${ratios[@]:1}" | sort -n | awk -v what="$1" -v version="$version" \
    '{ r[NR] = $1 } END { printf "%s | pydicom %s | %s, %s, %s\n", what, version, r[1], r[int((NR + 1) / 2)], r[NR] }'
}
pair "read 60 slices of 512 × 512 to HU, one thread" read_series docs/bench_read_series.py "$series"
pair "read the headers of 864 files, one thread" scan_headers docs/bench_scan_headers.py "$cohort/small/dicom"
