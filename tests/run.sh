#!/usr/bin/env bash
# Runs every test of the workspace whose needs are met, lists the others, and ends with totals. Called by `make test`.
#
# A test that needs more than the programs says so: `#[ignore = "needs …"]`. The needs are looked up below.
# MTIDS_REQUIRE_ALL=1 (set by .ci/run): a test that did not run fails the run, except those for a GPU.
# cargo test, not nextest: the end-to-end tests share one cohort per process, and nextest starts a process for each test.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if [ ! -x .venv/bin/python ] && command -v python3 >/dev/null; then
  echo "making .venv for the tests that need Python readers"
  make python || { rm -rf .venv; echo "note: .venv could not be made"; }
fi

# Each ignored test of the sources: its name and its reason.
ignored() {
  git ls-files -z --cached --others --exclude-standard 'crates/*.rs' 'tests/*.rs' | xargs -0 awk '
    FNR == 1 { reason = "" }
    /^ *#\[ignore/ { reason = "no reason given"; if (match($0, /"[^"]*"/)) reason = substr($0, RSTART + 1, RLENGTH - 2) }
    reason != "" && match($0, /fn [a-z0-9_]+/) { print substr($0, RSTART + 3, RLENGTH - 3) "\t" reason; reason = "" }'
}

# Is everything met that a reason names? An unknown reason is not.
met() {
  local known=no
  case $1 in *"Python readers"*) known=yes; [ -x .venv/bin/python ] || return 1 ;; esac
  case $1 in *dciodvfy*) known=yes; command -v dciodvfy >/dev/null || return 1 ;; esac
  case $1 in *dsrdump*) known=yes; command -v dsrdump >/dev/null || return 1 ;; esac
  case $1 in *"../shared/data"*) known=yes; [ -d ../shared/data ] || return 1 ;; esac
  # The GPU's tests need the feature `cuda`: make cuda-test.
  case $1 in *"NVIDIA GPU"*) return 1 ;; esac
  [ $known = yes ]
}

skips=() unmet=0 lines=()
while IFS=$'\t' read -r name reason; do
  met "$reason" && continue
  skips+=(--skip "$name")
  lines+=("$reason: $name")
  case $reason in *"NVIDIA GPU"*) ;; *) unmet=$((unmet + 1)) ;; esac
done < <(ignored)

status=0
${CARGO:-cargo} test --locked --workspace --no-fail-fast -- --include-ignored ${skips[@]+"${skips[@]}"} >"$log" 2>&1 || status=$?
if [ $status -ne 0 ]; then cat "$log"; fi
grep -aE '^test result:|     Running |   Doc-tests ' "$log" | sed 's/ (.*//' || true
if [ ${#lines[@]} -gt 0 ]; then
  printf '\nnot run, needs not met:\n'
  printf '  %s\n' "${lines[@]}" | sort
fi
awk -v not_run="${#lines[@]}" '/^test result:/ { passed += $4; failed += $6 }
  END { printf "\n%d passed, %d failed, %d not run\n", passed, failed, not_run }' "$log"
if [ "$unmet" -gt 0 ] && [ "${MTIDS_REQUIRE_ALL:-0}" = 1 ]; then
  echo "MTIDS_REQUIRE_ALL: $unmet tests did not run"
  exit 1
fi
exit $status
