#!/usr/bin/env bash
# What the checks need beside Rust: Python readers (.venv), typos, validators of DICOM. Prints what could not be had; never fails by itself.
# Measured on two cores: .venv and typos one minute, validators one to two minutes.
set -uo pipefail
cd "$(dirname "$0")/../.."
have() { command -v "$1" >/dev/null; }

if have python3; then
  make python || { rm -rf .venv; echo "missing: Python readers (.venv)"; }
  have typos || [ ! -x .venv/bin/pip ] || .venv/bin/pip install --quiet --disable-pip-version-check typos==1.52.0 || echo "missing: typos"
else
  echo "missing: Python 3.11 or newer"
fi

if ! have dciodvfy || ! have dsrdump; then
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  if have apt-get; then
    { $as_root apt-get update && $as_root apt-get install -y dicom3tools dcmtk; } >/dev/null 2>&1 || echo "missing: dicom3tools and dcmtk"
  else
    echo "missing: dicom3tools and dcmtk"
  fi
fi
exit 0
