#!/usr/bin/env bash
# Typing errors, by `typos` from the path or from .venv. Without it: a note, or a failure if MTIDS_REQUIRE_ALL=1. Called by `make spelling`.
set -euo pipefail
cd "$(dirname "$0")/../.."
typos=$(command -v typos || true)
[ -n "$typos" ] || typos=$PWD/.venv/bin/typos
[ -x "$typos" ] || { echo "note: no typos (pip install typos)"; exit "${MTIDS_REQUIRE_ALL:-0}"; }
"$typos" .
