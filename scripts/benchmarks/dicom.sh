#!/usr/bin/env bash
# The readers of mtids-dicom beside pydicom with its codecs, in turn, on the same files. Called by scripts/benchmarks/run.sh; arguments: the cargo
# profile, and the folder of its programs.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=$1 programs=$2
data=../shared/data
command -v python3 >/dev/null || { echo "skipped: reading beside pydicom needs Python 3 with venv"; exit 0; }
[ -d .venv-bench ] || python3 -m venv .venv-bench
python=.venv-bench/bin/python
$python -m pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-dicom.txt
version=$($python -c 'import pydicom; print(pydicom.__version__)')
# One thread on both sides.
export RAYON_NUM_THREADS=1 OMP_NUM_THREADS=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
phantom() { # folder, settings…
  "${CARGO:-cargo}" run --locked --quiet --package mtids-prep -- phantom --out "$work/$1" --set 'labels={table=1,segmentation=0,structures=0,nifti=0}' --set 'sites=[{}]' "${@:2}" >/dev/null 2>&1
}
phantom large --set patients=1 --set 'dimensions=[512,512,60]' --set 'spacing_mm=[0.7,0.7,4.0]'
phantom small --config pipelines/demo-short/phantom.toml
series=$(dirname "$(find "$work/large" -name '*.dcm' | head -n 1)")

# Both print seconds and a figure that must be the same (or near, where decoders of lossy codes round differently); the first round warms the
# page cache.
pair() { # what, tolerance of the figure, megabytes of pixels or -, our example, the peer's script, arguments…
  local what=$1 tolerance=$2 megabytes=$3 example=$4 script=$5 ours peer sum expected rows=()
  shift 5
  for _ in 0 1 2 3 4 5 6 7 8 9; do
    read -r ours sum <<<"$("$programs/examples/$example" "$@")"
    read -r peer expected <<<"$($python "$script" "$@")"
    awk "BEGIN { d = $sum - $expected; exit !(d * d <= $tolerance * $tolerance) }" ||
      { echo "$what: the two found different things: $sum and $expected" >&2; exit 1; }
    rows+=("$(awk "BEGIN { printf \"%.4f %.6f %.6f\", $ours / $peer, $ours, $peer }")")
  done
  printf '%s\n' "${rows[@]:1}" | sort -n | awk -v what="$what" -v version="$version" -v megabytes="$megabytes" '
    { ratio[NR] = $1; ours[NR] = $2; peer[NR] = $3 }
    END {
      m = int((NR + 1) / 2)
      speed = megabytes == "-" ? "" : sprintf("; %.0f and %.0f MB/s", megabytes / ours[m], megabytes / peer[m])
      printf "%s | pydicom %s | %.3f, %.3f, %.3f%s\n", what, version, ratio[1], ratio[m], ratio[NR], speed
    }'
}
pair "read the headers of 864 files" 0 - scan_headers scripts/benchmarks/scan_headers.py "$work/small/dicom"
pair "read a series of 60 slices of 512 × 512 to HU" 0 31.46 time_series scripts/benchmarks/read_series.py "$series"

pair "read a SEG of 50 segments on 512 × 512 × 300 (peer: highdicom)" 0 - read_segmentation scripts/benchmarks/read_segmentation.py "$work" 50

[ -d "$data/nema-wg04" ] || { echo "skipped: decoding by transfer syntax needs $data"; exit 0; }
decode() { # what, file, tolerance of the mean in HU, times
  pair "decode one slice of 512 × 512: $1" "$(awk "BEGIN { print $3 * 262144 }")" 0.524 decode_images scripts/benchmarks/decode_images.py "$2" "$4"
}
$python scripts/benchmarks/encodings.py "$data/nema-wg04/CT1_UNC.dcm" "$work"
decode "explicit little endian" "$data/nema-wg04/CT1_UNC.dcm" 0 100
decode "implicit little endian" "$data/cornerstone3d/CTImage.dcm" 0 100
decode "explicit big endian" "$data/cornerstone3d/CTImage_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm" 0 100
decode "deflated" "$work/deflated.dcm" 0 20
decode "RLE" "$data/nema-wg04/CT1_RLE.dcm" 0 60
decode "JPEG lossless, first order (.70)" "$data/nema-wg04/CT1_JPLL.dcm" 0 20
decode "JPEG lossless (.57)" "$work/jpeg_lossless_57.dcm" 0 20
decode "JPEG baseline (.50)" "$data/cornerstone3d/CTImage_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm" 2 30
decode "JPEG extended, 12 bits (.51)" "$data/cornerstone3d/CTImage_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm" 2 20
decode "JPEG-LS (.80)" "$data/nema-wg04/CT1_JLSL.dcm" 0 20
decode "JPEG-LS, near-lossless (.81)" "$data/nema-wg04/CT1_JLSN.dcm" 0 20
decode "JPEG 2000, lossless (.90)" "$data/nema-wg04/CT1_J2KR.dcm" 0 10
decode "JPEG 2000, lossy (.91)" "$data/nema-wg04/CT1_J2KI.dcm" 0 20
decode "HTJ2K, lossless (.201)" "$work/htj2k.dcm" 0 20
