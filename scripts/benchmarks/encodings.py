"""Writes one CT slice of 512 × 512 in encodings of which the test data have none, for `make bench`.

    python scripts/benchmarks/encodings.py NATIVE.dcm FOLDER
"""

import pathlib
import sys

import imagecodecs
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, HTJ2KLossless, JPEGLossless

source, folder = sys.argv[1], pathlib.Path(sys.argv[2])
pixels = pydicom.dcmread(source).pixel_array
unsigned = pixels.view("uint16")
for name, syntax, encoded in [
    ("htj2k.dcm", HTJ2KLossless, imagecodecs.htj2k_encode(unsigned, reversible=True)),
    ("jpeg_lossless_57.dcm", JPEGLossless, imagecodecs.ljpeg_encode(unsigned, bitspersample=16)),
    ("deflated.dcm", DeflatedExplicitVRLittleEndian, None),
]:
    one = pydicom.dcmread(source)
    one.file_meta.TransferSyntaxUID = syntax
    if encoded is not None:
        one.PixelData = encapsulate([encoded])
        one["PixelData"].VR, one["PixelData"].is_undefined_length = "OB", True
    one.save_as(folder / name, enforce_file_format=True)
