#!/usr/bin/env bash
# The steps of pipelines/container/Containerfile in a fresh Debian made by debootstrap, then the programs there: no cargo, no compiler, nothing of
# this machine. Argument: folder of the wheels. Called by `make check-container`; needs root, debootstrap, the wheel (make wheel), Debian and PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."
wheels=$1 file=pipelines/container/Containerfile
[ "$(id -u)" -eq 0 ] || { echo 'debootstrap and chroot need root' >&2; exit 2; }
command -v debootstrap >/dev/null || { echo 'debootstrap is missing: apt-get install debootstrap' >&2; exit 2; }
ls "$wheels"/mtids-*.whl >/dev/null || { echo 'no wheel: make wheel' >&2; exit 2; }

root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
variables=(HOME=/root LANG=C.UTF-8)
folder=/
chroot=$(command -v chroot)
inside() { env -i "${variables[@]}" "$chroot" "$root" /bin/sh -euc "cd $folder; $1"; }

# What the file says, line by line. An instruction that this script does not know is an error.
while IFS= read -r line; do
  words=${line#* }
  case $line in
    '' | '#'*) ;;
    'FROM debian:'*)
      release=${words#debian:}
      debootstrap --variant=minbase "${release%-slim}" "$root" >/dev/null
      mount --types proc proc "$root/proc"
      cp /etc/resolv.conf "$root/etc/resolv.conf"
      variables+=(PATH=/usr/sbin:/usr/bin:/sbin:/bin)
      # A machine behind a proxy has a certificate of its own for pip.
      if [ -n "${PIP_CERT:-}" ]; then cp "$PIP_CERT" "$root/root/certificates.pem"; variables+=(PIP_CERT=/root/certificates.pem); fi
      ;;
    'RUN '*) inside "$words" >"$root/log" 2>&1 || { cat "$root/log" >&2; echo "failed: $line" >&2; exit 1; } ;;
    'COPY out/wheels/'*' /opt/wheels/') mkdir -p "$root/opt/wheels" && cp "$(ls -t "$wheels"/mtids-*.whl | head -1)" "$root/opt/wheels/" ;;
    'ENV '*) variables+=("$words") ;;
    'WORKDIR '*) folder=$words && mkdir -p "$root$folder" ;;
    *) echo "not known to this check: $line" >&2; exit 1 ;;
  esac
done <"$file"
printf 'a root of %s MB, %s MB of it mtids\n' "$(du -sm --one-file-system "$root" | cut -f1)" "$(du -sm "$root/opt/mtids" | cut -f1)"

cp -r pipelines/demo-short "$root/data/settings"
inside '
  if command -v cargo || command -v rustc || command -v cc; then exit 1; fi
  for program in mtids-prep mtids-audit mtids-train; do $program --version; $program --help >/dev/null; done
  allowed() { "$@" >>log 2>&1 || [ $? -eq 1 ]; }
  mtids-prep phantom --config settings/phantom.toml --out cohort >>log 2>&1
  allowed mtids-prep build --config settings/dataset.toml --data cohort/dicom --annotations cohort/annotations.csv --annotations cohort/masks --out dataset
  allowed mtids-audit report dataset --config settings/audit.toml --out audit
  mtids-train fit --config settings/train.toml --dataset dataset --run run >>log 2>&1
  mtids-train evaluate --dataset dataset --run run >>log 2>&1
  echo "fit: $(wc -l <run/losses.jsonl) steps"
  python3 -c "import mtids; print(mtids.open(\"dataset\"))" || { cat log >&2; exit 1; }
'
