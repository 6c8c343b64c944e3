#!/usr/bin/env bash
# README's pictures and its table, from a finished run of `make demo`. Arguments: OUT, RUN. Called by `make screenshots`.
set -euo pipefail
out=$1 run=$2
cd "$(dirname "$0")/.."
browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || { echo "chromium is missing: apt-get install chromium" >&2; exit 2; }
[ -f "$run/report.html" ] || { echo "$run/report.html is missing: run make demo first" >&2; exit 2; }

shoot() { # page, picture, height
  profile=$(mktemp -d)
  "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" \
    --window-size="1100,$3" --screenshot="$PWD/docs/images/$2" "file://$(realpath "$1")" >/dev/null 2>&1
  rm -rf "$profile"
  echo "docs/images/$2"
}
mkdir -p docs/images
shoot "$out/audit/audit.html" audit.png 1500
shoot "$run/report.html" report.png 1700
shoot "$out/answer/report.html" answer.png 1500
# README's table: what stands between its two marks.
awk -v table="$run/evaluation.txt" '
  /<!-- table -->/ { print; print "```"; while ((getline line < table) > 0) if (line != "" || shown) { if (line ~ /^  network + measures: |reconstruction/) break; print line; shown = 1 }
    print "```"; inside = 1; next }
  /<!-- end of table -->/ { inside = 0 }
  !inside { print }' README.md >README.md.new
mv README.md.new README.md
echo "README.md"
