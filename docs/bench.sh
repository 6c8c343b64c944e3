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
ratios=()
for _ in 0 1 2 3 4 5 6 7 8 9; do
  read -r ours sum <<<"$("$programs/examples/read_series" "$series")"
  read -r rival expected <<<"$("$python" docs/bench_read_series.py "$series")"
  [ "$sum" = "$expected" ] || { echo "the two read different voxels: $sum and $expected" >&2; exit 1; }
  ratios+=("$(awk "BEGIN { printf \"%.3f\", $ours / $rival }")")
done
# The first round warms the page cache.
version=$("$python" -c 'import pydicom; print(pydicom.__version__)')
printf '%s\n' "${ratios[@]:1}" | sort -n |
  awk -v version="$version" '{ r[NR] = $1 } END { printf "read 60 slices of 512 × 512 to HU, one thread | pydicom %s | %s, %s, %s\n", version, r[1], r[int((NR + 1) / 2)], r[NR] }'
