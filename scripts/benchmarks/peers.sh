#!/usr/bin/env bash
# `mtids-prep build` beside a fair Python script (pydicom, SimpleITK, pyarrow), in turn, on the same studies with as many workers. Called by `make
# bench-peers`; arguments: the programs' folder, workers.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$1 workers=${2:-$(nproc)}
[ -d .venv-peers ] || python3 -m venv .venv-peers
python=.venv-peers/bin/python
$python -m pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-peers.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

now() { date +%s.%N; }
compare() { # what, patients, dimensions, spacing, patch size, patch spacing, rounds
  local what=$1 patients=$2 sides=$3 step=$4 size=$5 spacing=$6 rounds=$7 rows=() a b c
  rm -rf "$work/cohort"
  "$programs/mtids-prep" phantom --out "$work/cohort" --set patients="$patients" --set "dimensions=[$sides]" --set "spacing_mm=[$step]" \
    --set 'sites=[{}]' --set 'labels={table=1.0,segmentation=0.0,structures=0.0,nifti=0.0}' >/dev/null 2>&1
  local megabytes
  megabytes=$(find "$work/cohort/dicom" -name '*.dcm' -printf '%s\n' | awk '{ sum += $1 } END { print sum / 1e6 }')
  for round in $(seq 0 "$rounds"); do
    rm -rf "$work/ours" "$work/peer"
    a=$(now)
    "$programs/mtids-prep" build --data "$work/cohort/dicom" --annotations "$work/cohort/annotations.csv" --out "$work/ours" \
      --workers "$workers" --set pseudonym.demo=true --set "patch.size=[$size]" --set "patch.spacing_mm=[$spacing]" >/dev/null 2>&1
    b=$(now)
    found=$($python scripts/benchmarks/peers.py "$work/cohort/dicom" "$work/cohort/annotations.csv" "$work/peer" "$workers" "$size" "$spacing")
    c=$(now)
    # The first round warms the page cache.
    [ "$round" = 0 ] || rows+=("$(awk "BEGIN { printf \"%.4f %.4f %.4f\", ($b - $a) / ($c - $b), $b - $a, $c - $b }")")
  done
  # Both cut the same patches: as many rows, and HU that differ by rounding alone.
  $python - "$work/ours" $found "$size" <<'PY'
import sys
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
rows = total = 0
for path in Path(sys.argv[1], "shards").rglob("*.parquet"):
    table = pq.read_table(path, columns=["voxels_patch"])
    rows += table.num_rows
    total += sum(int(np.frombuffer(cell, "<i2").sum(dtype=np.int64)) for cell in table["voxels_patch"].to_pylist())
wanted, expected = int(sys.argv[2]), int(sys.argv[3])
if rows != wanted:
    sys.exit(f"{rows} rows and {wanted}")
voxels = rows * int(np.prod([int(n) for n in sys.argv[4].split(",")]))
print(f"  rows {rows}; the mean of all HU differs by {abs(total - expected) / max(1, voxels):.4f}", file=sys.stderr)
PY
  printf '%s\n' "${rows[@]}" | sort -n | awk -v what="$what" -v patients="$patients" -v megabytes="$megabytes" '
    { ratio[NR] = $1; ours[NR] = $2; peer[NR] = $3 }
    END {
      m = int((NR + 1) / 2)
      printf "%s | pydicom, SimpleITK, pyarrow | %.3f, %.3f, %.3f; %.1f and %.1f studies/s, %.0f and %.0f MB/s\n", what, ratio[1], ratio[m], ratio[NR],
        patients / ours[m], patients / peer[m], megabytes / ours[m], megabytes / peer[m]
    }'
}
# Where ours spends its time, and how far it is from what the machine can do: reading the same files and no more, writing as many bytes with one
# sync, copying memory.
limits() { # what
  local out="$work/ours" a b c d
  rm -rf "$out"
  "$programs/mtids-prep" build --data "$work/cohort/dicom" --annotations "$work/cohort/annotations.csv" --out "$out" --workers "$workers" \
    --set pseudonym.demo=true --set "patch.size=[$2]" --set "patch.spacing_mm=[$3]" --timings --json 2>/dev/null >"$work/summary.json"
  a=$(now)
  find "$work/cohort/dicom" -name '*.dcm' -print0 | xargs -0 cat >/dev/null
  b=$(now)
  cat "$out"/shards/*/*.parquet >"$work/shards"
  c=$(now)
  dd if="$work/shards" of="$work/copy" bs=1M conv=fsync status=none
  d=$(now)
  $python - "$work/summary.json" "$1" "$(awk "BEGIN { print $b - $a, $d - $c }")" "$(stat -c %s "$work/shards")" <<'PY'
import json, sys, time
import numpy as np
summary = json.load(open(sys.argv[1]))
read, write = (float(x) for x in sys.argv[3].split())
shares = ", ".join(f"{one['stage']} {100 * one['share']:.0f} %" for one in summary["stages"])
seconds = {one["stage"]: one["seconds"] for one in summary["stages"]}
source = np.zeros(1 << 27, np.uint8)
copies = []
for _ in range(5):
    started = time.perf_counter()
    source.copy()
    copies.append(time.perf_counter() - started)
speed = source.nbytes / min(copies[1:]) / 1e9
print(f"{sys.argv[2]}, seconds of all workers by stage: {shares}")
print(
    f"  reading its files once (cat, warm) {read:.2f} s; writing its {int(sys.argv[4]) / 1e6:.1f} MB of shards with one sync (dd) "
    f"{write:.2f} s, ours {seconds['write']:.2f} s; memory copies at {speed:.1f} GB/s"
)
PY
}
compare "build from 64 studies of 128 × 128 × 56, $workers workers" 64 128,128,56 2.75,2.75,4.0 12,44,44 3.0,2.0,2.0 5
limits "  the same" 12,44,44 3.0,2.0,2.0
compare "build from 8 studies of 512 × 512 × 120, $workers workers" 8 512,512,120 0.68,0.68,1.9 24,56,56 1.7,0.6,0.6 5
limits "  the same" 24,56,56 1.7,0.6,0.6
