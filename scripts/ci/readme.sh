#!/usr/bin/env bash
# Limits of README.md: at most 200 lines of at most 120 characters. Called by `make lint`.
set -euo pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.."
status=0
for page in README.md; do
  [ -e "$page" ] || continue
  number=0
  while IFS= read -r line; do
    number=$((number + 1))
    [ ${#line} -le 120 ] || { echo "$page:$number: ${#line} characters, at most 120"; status=1; }
  done <"$page"
  [ $number -le 200 ] || { echo "$page: $number lines, at most 200"; status=1; }
done
exit $status
