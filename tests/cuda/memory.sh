#!/usr/bin/env bash
# A training whose batch the card has no memory for, on a dry card (dry/) of a given size: the message names a batch, and with that batch the training
# goes through. Called by check.sh; arguments: the program `mtids-train` built with `cuda`, the folder of the libraries, a dataset.
set -euo pipefail
program=$1 libraries=$2 dataset=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LD_LIBRARY_PATH=$libraries MTIDS_DRY_MEMORY=$((120 << 20))

fit() {
  local run=$1
  shift
  "$program" fit --dataset "$dataset" --run "$run" --set device=cuda:0 --set epochs=1 --set max_steps=2 "$@" 2>&1
}
code=0
said=$(fit "$work/large" --set batch_size=64) || code=$?
fits=$(sed -n 's/.* rows at once; \([0-9]*\) fit: .*/\1/p' <<<"$said")
if [ $code != 2 ] || [ -z "$fits" ]; then
  printf '%s\nended with %s, not with 2 and a batch that fits\n' "$said" $code >&2
  exit 1
fi
# More than once: how far the batches ahead have come is chance.
for round in 1 2 3; do
  fit "$work/small-$round" --set batch_size="$fits" --set accumulate_batches=2 >"$work/log" || { cat "$work/log" >&2; exit 1; }
done
echo "a card of 120 MiB: a batch of 64 is refused, one of $fits is trained, three times"
