#!/usr/bin/env bash
# Runs every test of the workspace and ends with one line of totals. Called by `make test`, after the programs are built.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ -x .venv/bin/python ] || echo "note: no .venv, so tests that need Python readers will say that they were skipped (make python)"
[ -d ../shared/data ] || echo "note: no ../shared/data, so tests on real images will say that they were skipped"
status=0
# The skip notices of passing tests would be swallowed without --nocapture; only those lines are shown.
${CARGO:-cargo} test --locked --workspace --no-fail-fast -- --nocapture >"$log" 2>&1 || status=$?
if [ $status -ne 0 ]; then cat "$log"; fi
grep -aE '^test result:|     Running |   Doc-tests ' "$log" | sed 's/ (.*//' || true
skipped=$(grep -acE 'skipped: ' "$log" || true)
[ "$skipped" -eq 0 ] || { echo; grep -aoE 'skipped: .*' "$log" | sort | uniq -c; }
awk -v skipped="$skipped" '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
  END { printf "\n%d passed, %d failed, %d ignored; %d notices of a skipped part\n", passed, failed, ignored, skipped }' "$log"
exit $status
