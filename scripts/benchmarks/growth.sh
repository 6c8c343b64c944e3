#!/usr/bin/env bash
# Steps per second and peak memory as batch, patch, tasks and experts grow; writes docs/benchmarks/growth.md. Arguments: the cargo profile (dev or release),
# how many rounds, for how many seconds each setting is timed in a round.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:-dev}
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-train --example growth
folder=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")/examples
python3 scripts/benchmarks/growth.py "$folder/growth" "$profile" "${2:-5}" "${3:-1}"
