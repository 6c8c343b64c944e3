"""HU around the lesion of chest-ct-lung1, found with pydicom, numpy and scipy: independent of every line of this project.

Run once; the result is kept in tests/golden/chest-ct-lung1.json.
    python tests/python/golden_chest_ct.py ../shared/data/chest-ct-lung1 > tests/golden/chest-ct-lung1.json
Patch axes: d towards the head, h towards the back, w towards the left; w fastest. Spacing is the native one, so linear
interpolation needs no anti-aliasing and every reader must find the same numbers.
"""

import glob
import json
import sys

import numpy as np
import pydicom
from scipy.ndimage import map_coordinates

folder = sys.argv[1]
slices = [pydicom.dcmread(path) for path in glob.glob(f"{folder}/ct/*.dcm")]
slices.sort(key=lambda instance: float(instance.ImagePositionPatient[2]))
first, last = slices[0], slices[-1]
assert [float(x) for x in first.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices])
origin = np.array([float(x) for x in first.ImagePositionPatient])
row_mm, column_mm = (float(x) for x in first.PixelSpacing)
slice_mm = (float(last.ImagePositionPatient[2]) - origin[2]) / (len(slices) - 1)
spacing = np.array([slice_mm, row_mm, column_mm])

with open(f"{folder}/annotations_mm.csv", encoding="utf-8") as table:
    names, values = (line.strip().split(",") for line in table.readlines()[:2])
finding = dict(zip(names, values))
center = np.array([float(finding[name]) for name in ("x_mm", "y_mm", "z_mm")])

size = (5, 16, 16)
indices = []
for d in range(size[0]):
    for h in range(size[1]):
        for w in range(size[2]):
            offset = (np.array([d, h, w]) - (np.array(size) - 1) / 2) * spacing
            point = center + offset[::-1]
            indices.append((point - origin)[::-1] / spacing)
indices = np.array(indices)
nearest = np.floor(indices + 0.5).astype(int)
print(
    json.dumps(
        {
            "tool": f"pydicom {pydicom.__version__}, scipy map_coordinates(order=1), numpy {np.__version__}",
            "center_mm": center.tolist(),
            "size": size,
            "spacing_mm": spacing.tolist(),
            "dimensions": list(hu.shape[::-1]),
            "nearest_hu_at_center": int(hu[tuple(np.floor((center - origin)[::-1] / spacing + 0.5).astype(int))]),
            "linear_hu": [round(float(x), 4) for x in map_coordinates(hu.astype(float), indices.T, order=1)],
            "nearest_hu": [int(hu[tuple(index)]) for index in nearest],
        }
    )
)
