#!/usr/bin/env bash
# Every benchmark of docs/benchmarks/README.md: prints lines for its table. Called by `make bench`; arguments: the cargo profile (dev or release), and `dicom`
# for the readers alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:-dev}
target=${CARGO_TARGET_DIR:-target}
programs=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
part=${2:-all}
[ "$part" = dicom ] || "${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-layers -p mtids-models --examples
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-dicom --examples

echo "date $(date +%F), profile $profile, $(nproc) processors"
echo "what | rival | ratio ours ÷ rival: minimum, median, maximum"
[ "$part" = dicom ] || "$programs/examples/layers"
if [ "$part" != dicom ]; then
  "${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-phantom --examples
  for _ in 1 2 3; do "$programs/examples/render_studies"; done
fi

bash scripts/benchmarks/dicom.sh "$profile" "$programs"
