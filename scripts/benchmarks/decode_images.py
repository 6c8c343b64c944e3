"""Seconds to decode one image file to HU with pydicom, again and again; the peer of `decode_images`.

    python scripts/benchmarks/decode_images.py FILE TIMES

Compressed files need the codecs of scripts/benchmarks/requirements-dicom.txt.
"""

import sys
import time

import numpy as np
import pydicom

file, times = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
for _ in range(times):
    one = pydicom.dcmread(file)
    stored = one.pixel_array
    slope, intercept = float(one.RescaleSlope), float(one.RescaleIntercept)
    if slope.is_integer() and intercept.is_integer():
        hu = stored.astype(np.int32) * int(slope) + int(intercept)
    else:
        hu = np.rint(stored * slope + intercept).astype(np.int32)
    if "PixelPaddingValue" in one:
        # What lies outside the field is air here as there.
        hu[stored == one.PixelPaddingValue] = -1000
    hu = np.clip(hu, -32768, 32767).astype(np.int16)
seconds = (time.perf_counter() - start) / times
print(f"{seconds:.6f} {int(hu.sum(dtype=np.int64))}")
