#!/usr/bin/env bash
# Fails where a term of scripts/ci/words.txt that is marked `fail` stands; counts those marked `warn`. Called by `make lint`.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
while IFS=$'\t' read -r term replacement level; do
  case $term in '' | '#'*) continue ;; esac
  found=$(git grep -nwE "$term" -- '*.md' '*.rs' '*.toml' '*.sh' '*.py' '*.yml' Makefile ':!CHANGELOG.md' ':!scripts/ci/words.*' || true)
  [ -n "$found" ] || continue
  if [ "$level" = fail ]; then
    printf '%s\n' "$found"
    echo "error: write \"$replacement\" for \"$term\""
    status=1
  else
    echo "note: \"$term\" stands in $(printf '%s\n' "$found" | wc -l) lines; write \"$replacement\""
  fi
done <scripts/ci/words.txt
exit $status
