#!/usr/bin/env bash
# A picture of every page for README.md and docs/guide, and README's table, from a finished run of `make demo`. Arguments: folder of the programs, OUT,
# RUN. Called by `make screenshots`, which makes the pages.
set -euo pipefail
programs=$1 out=$2 run=$3
cd "$(dirname "$0")/.."
browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || { echo "chromium is missing: apt-get install chromium" >&2; exit 2; }
[ -f "$run/report.html" ] || { echo "$run/report.html is missing: run make demo first" >&2; exit 2; }
# Exit code 1 says: done, look at the findings.
look() { local code=0; "$@" >/dev/null || code=$?; [ "$code" -le 1 ]; }

# Two datasets to compare: the demo's, and the same with corrections of a made-up reader.
made=$out/pages
rm -rf "$made"
mkdir -p "$made"
.venv/bin/python scripts/made_up_corrections.py "$out/dataset/index.parquet" "$made/corrections.csv"
cp -r "$out/dataset" "$made/dataset"
look "$programs/mtids-prep" build --config pipelines/demo/dataset.toml --data "$out/cohort/dicom" --annotations "$out/cohort/annotations.csv" \
  --annotations "$out/cohort/masks" --corrections "$made/corrections.csv" --out "$made/dataset"
look "$programs/mtids-audit" compare "$out/dataset" "$made/dataset" --out "$made/comparison"
look "$programs/mtids-audit" suspects "$out/dataset" --out "$made/suspects" --pictures 6
# A grid that is done in a minute.
"$programs/mtids-train" compare --grid pipelines/compare/short.toml --out "$made/grid" --dataset short=out/demo-short/dataset >/dev/null

shoot() { # page, picture, height, width
  profile=$(mktemp -d)
  "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" \
    --window-size="${4:-1100},$3" --screenshot="$PWD/docs/images/$2" "file://$(realpath "$1")" >/dev/null 2>&1
  rm -rf "$profile"
  echo "docs/images/$2"
}
mkdir -p docs/images
shoot "$out/audit/audit.html" audit.png 1500
shoot "$run/report.html" report.png 1700
shoot "$out/answer/report.html" answer.png 1500
shoot "$made/comparison/comparison.html" comparison.png 1500
shoot "$made/suspects/suspects.html" suspects.png 1500
shoot "$made/grid/results.html" grid.png 1500
# README's table: what stands between its two marks.
awk -v table="$run/evaluation.txt" '
  /<!-- table -->/ { print; print "```"; while ((getline line < table) > 0) { if (line == "") { blank = shown; continue }
      if (line ~ /^  difference on the same samples/) break; if (blank) print ""; blank = 0; print line; shown = 1 }
    print "```"; inside = 1; next }
  /<!-- end of table -->/ { inside = 0 }
  !inside { print }' README.md >README.md.new
mv README.md.new README.md
echo "README.md"
