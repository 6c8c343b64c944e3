#!/usr/bin/env bash
# The programs on one real chest CT. Called by `make demo-real`; arguments: folder of the programs, DATA or empty, OUT.
set -euo pipefail
programs=$1 data=$2 out=$3
here=$(dirname "$0")
sample=../shared/data/chest-ct-lung1

tables=()
if [ -z "$data" ]; then
  data=$sample
  if [ ! -d "$data" ]; then
    cat >&2 <<'TEXT'
No real study at hand. Get a public one and name its folder:

  1. In a browser, open The Cancer Imaging Archive (cancerimagingarchive.net), collection "CT Lymph Nodes"
     (CC BY 3.0: chest and abdomen CT with DICOM SEG), and download one MED_LYMPH patient with its segmentation.
  2. make demo-real DATA=/folder/with/the/files [ANNOTATIONS=/table.csv]

Any folder with a CT series and its DICOM SEG, or a table of findings (schemas/annotation-table.json), will do.
TEXT
    exit 2
  fi
  # The lesion is real; its station and status are not known, so a table of made-up labels lets the training run.
  tables+=(--annotations "$data/annotations_mm.csv" --annotations data/demo-real/made-up-labels.csv)
  echo "note: station and metastasis of this lesion are made up (data/demo-real/made-up-labels.csv); it is a lung lesion"
fi
for table in ${ANNOTATIONS:-}; do tables+=(--annotations "$table"); done

# The secret lies beside the dataset, never in it.
mkdir -p "$out"
[ -s "$out/pseudonym.key" ] || (umask 077 && head -c 32 /dev/urandom | base64 >"$out/pseudonym.key")

look() { "$@" || { code=$?; [ $code -eq 1 ] || exit $code; }; }
look "$programs/mtids-prep" inventory "$data"
look "$programs/mtids-prep" build --config "$here/dataset.toml" --set "pseudonym.key_file=\"$out/pseudonym.key\"" \
  --data "$data" "${tables[@]}" --out "$out/dataset"
look "$programs/mtids-audit" report "$out/dataset" --out "$out/audit"
if "$programs/mtids-train" fit --config "$here/train.toml" --dataset "$out/dataset" --run "$out/run"; then
  "$programs/mtids-train" evaluate --run "$out/run" --dataset "$out/dataset"
else
  code=$?
  [ $code -eq 3 ] || exit $code
  echo "no training: see the message above (a finding needs a station or a metastasis status in an annotation table)"
fi
printf '\n  audit    %s\n  dataset  %s\n  run      %s\n' "$out/audit/audit.html" "$out/dataset" "$out/run"
echo "  one study teaches nothing: no metric is claimed"
