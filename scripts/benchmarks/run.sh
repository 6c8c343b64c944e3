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
"${CARGO:-cargo}" build --locked --quiet --profile "$profile" -p mtids-dicom -p mtids-annotations --examples

echo "date $(date +%F), profile $profile, $(nproc) processors"
echo "what | peer | ratio ours ÷ peer: minimum, median, maximum"
[ "$part" = dicom ] || "$programs/examples/layers"
if [ "$part" != dicom ]; then
  # Without a peer: times alone, by criterion.
  "${CARGO:-cargo}" bench --locked --quiet --profile "$profile" -p mtids-balance -p mtids-layers -p mtids-phantom --benches
fi

bash scripts/benchmarks/dicom.sh "$profile" "$programs"
