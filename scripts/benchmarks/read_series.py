"""Seconds to read a folder with one CT series into a volume of HU with pydicom; the peer of `time_series`.

    python scripts/benchmarks/read_series.py FOLDER
"""

import pathlib
import sys
import time

import numpy as np
import pydicom

start = time.perf_counter()
slices = [pydicom.dcmread(path) for path in pathlib.Path(sys.argv[1]).iterdir()]
normal = np.cross(slices[0].ImageOrientationPatient[:3], slices[0].ImageOrientationPatient[3:])
slices.sort(key=lambda one: float(np.dot(normal, one.ImagePositionPatient)))
volume = np.stack(
    [one.pixel_array.astype(np.int16) * np.int16(one.RescaleSlope) + np.int16(one.RescaleIntercept) for one in slices]
)
seconds = time.perf_counter() - start
print(f"{seconds:.6f} {int(volume.sum(dtype=np.int64))}")
