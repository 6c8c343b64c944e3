#!/usr/bin/env bash
# Runs fuzz targets for a time, on seeds from the test data. Called by `make fuzz`; arguments: seconds for each, and targets (default: all).
# Findings lie in artifacts/; what is fixed goes to ../tests/regressions, which a test reads.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(prescan series segmentation structures contours report mask table)
command -v cargo-fuzz >/dev/null || { echo "needs cargo-fuzz: cargo install cargo-fuzz" >&2; exit 2; }
# Sanitizers are unstable options of the pinned compiler.
export RUSTC_BOOTSTRAP=1

data=../../../../shared/data
seed() { # target, files…
  local target=$1 file
  shift
  mkdir -p "corpus/$target"
  for file in "$@"; do
    [ -f "$file" ] || continue
    # Large files teach the fuzzer little and cost it much.
    [ "$(stat -c %s "$file")" -le 70000 ] || continue
    cp -n "$file" "corpus/$target/$(sha256sum "$file" | cut -c1-16)" 2>/dev/null || true
  done
}
shopt -s globstar nullglob
images=(../tests/data/*.dcm ../tests/regressions/* "$data"/pitfalls/*/F000.dcm "$data"/pydicom/**/* "$data"/pydicom-data/*.dcm
  "$data"/pet-suv/*/P000.dcm "$data"/cases-2/{ct-implicit-meta-no-preamble,ct-excess-pixel-padding}/dicom/*0.dcm "$data"/cases-2/pet-*/dicom/pet_0.dcm
   "$data"/highdicom/ct_image.dcm "$data"/cornerstone3d/*.dcm "$data"/fo-dicom/*.dcm "$data"/rt-utils/**/*.dcm)
seed prescan "${images[@]}" "$data"/highdicom/*.dcm "$data"/chest-ct-lung1/*.dcm
seed series "${images[@]}"
seed segmentation "$data"/highdicom/*.dcm "$data"/chest-ct-lung1/seg_*.dcm "$data"/pydicom*/liver*.dcm "$data"/dcmqi/**/*.{seg,dcm} "$data"/cases-2/*/dicom/seg.dcm ../tests/regressions/*
seed structures "$data"/cases-2/*/dicom/rs.dcm "$data"/chest-ct-lung1/rtstruct.dcm "$data"/rt-utils/**/*.dcm "$data"/pydicom/rtstruct.dcm ../tests/regressions/*
seed report "$data"/chest-ct-lung1/sr_tid1500.dcm "$data"/highdicom/sr_*.dcm "$data"/pydicom/*SR*.dcm "$data"/pydicom/report*.dcm ../tests/regressions/*
seed mask ../tests/data/mask* "$data"/dcmqi/segmentations/23x38x3/nrrd/*.nrrd "$data"/cases-2/*/mask.* ../tests/regressions/*
seed mask targets/seeds/mask/*
seed contours targets/seeds/contours/*
seed table "$data"/chest-ct-lung1/*.csv "$data"/chest-ct-lung1/voc/*.xml ../tests/regressions/*

cargo fuzz build --release --fuzz-dir . 2>&1 | tail -n 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
for target in "${targets[@]}"; do
  echo "== $target, $seconds s"
  if cargo fuzz run --release --fuzz-dir . "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -timeout=10 -max_len=70000 -print_final_stats=1 >"$log" 2>&1; then
    grep -E 'number_of_executed_units|slowest_unit|peak_rss' "$log"
  else
    status=1
    grep -E 'ERROR|SUMMARY|panicked|Test unit|error' "$log" | head -n 12
  fi
done
exit $status
