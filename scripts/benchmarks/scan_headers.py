"""Seconds to read the header of every file of a folder with pydicom; the peer of `scan_headers`.

    python scripts/benchmarks/scan_headers.py FOLDER
"""

import pathlib
import sys
import time

import pydicom

paths = [path for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()]
start = time.perf_counter()
images = 0
for path in paths:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    # The geometry is what a scan is for; pydicom converts values when they are asked for.
    if header.Modality == "CT" and len(header.ImagePositionPatient) == 3 and len(header.ImageOrientationPatient) == 6:
        images += 1
print(f"{time.perf_counter() - start:.6f} {images}")
