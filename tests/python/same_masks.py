"""Other readers find the same masks: SEG by highdicom, RTSTRUCT by an even-odd rasteriser of our own, NIfTI from its bytes.

Arguments: three cohorts of the same patients, whose labels are SEG, RTSTRUCT and NIfTI. Prints `same masks: N nodes of M patients`.
"""

import gzip
import json
import struct
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom


def images(study):
    slices = [pydicom.dcmread(path) for path in study.glob("IM*.dcm")]
    return sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))


def place(point):
    return tuple(np.round(np.asarray(point, float) * 20).astype(int))


def grid(slices):
    """Origin, and steps along columns, rows and slices."""
    first = slices[0]
    row, column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    origin = np.array(first.ImagePositionPatient, float)
    step = (np.array(slices[-1].ImagePositionPatient, float) - origin) / (len(slices) - 1)
    return origin, row * float(first.PixelSpacing[1]), column * float(first.PixelSpacing[0]), step


def by_seg(study):
    slices = images(study)
    origin, along_row, along_column, step = grid(slices)
    seg = highdicom.seg.segread(study / "SEG.dcm")
    uids = [one.SOPInstanceUID for one in slices]
    masks = []
    for number in seg.segment_numbers:
        pixels = seg.get_pixels_by_source_instance(uids, segment_numbers=[number], assert_missing_frames_are_empty=True)
        k, j, i = np.nonzero(pixels[..., 0])
        masks.append({place(origin + a * along_row + b * along_column + c * step) for a, b, c in zip(i, j, k)})
    return masks


def by_contours(study):
    slices = images(study)
    origin, along_row, along_column, step = grid(slices)
    to_index = np.linalg.inv(np.array([along_row, along_column, step]).T)
    rows, columns = slices[0].Rows, slices[0].Columns
    v, u = np.mgrid[:rows, :columns]
    masks = []
    for roi in pydicom.dcmread(study / "RS.dcm").ROIContourSequence:
        planes = {}
        for contour in roi.ContourSequence:
            points = (np.array(contour.ContourData, float).reshape(-1, 3) - origin) @ to_index.T
            inside = planes.setdefault(round(points[0, 2]), np.zeros((rows, columns), bool))
            for (x0, y0), (x1, y1) in zip(points[:, :2], np.roll(points[:, :2], -1, axis=0)):
                if y0 != y1:
                    crosses = (y0 > v) != (y1 > v)
                    inside ^= crosses & (u < x0 + (v - y0) / (y1 - y0) * (x1 - x0))
        mask = set()
        for k, inside in planes.items():
            j, i = np.nonzero(inside)
            mask |= {place(origin + a * along_row + b * along_column + k * step) for a, b in zip(i, j)}
        masks.append(mask)
    return masks


def by_nifti(path):
    data = gzip.decompress(path.read_bytes())
    columns, rows, slices = struct.unpack_from("<3h", data, 42)
    sform = np.array(struct.unpack_from("<12f", data, 280)).reshape(3, 4)
    kind = {2: "u1", 512: "<u2"}[struct.unpack_from("<h", data, 70)[0]]
    start = int(struct.unpack_from("<f", data, 108)[0])
    labels = np.frombuffer(data, kind, columns * rows * slices, start).reshape(slices, rows, columns)
    masks = []
    for label in range(1, int(labels.max()) + 1):
        k, j, i = np.nonzero(labels == label)
        points = sform @ np.c_[i, j, k, np.ones(len(i))].T
        # RAS to LPS.
        masks.append({place((-x, -y, z)) for x, y, z in points.T})
    # A node smaller than a voxel keeps its number and has no voxel.
    return [mask for mask in masks if mask]


def near(one, other):
    """The same places, whose coordinates files round differently: to a twentieth of a mm."""
    moves = [(a, b, c) for a in (0, -1, 1) for b in (0, -1, 1) for c in (0, -1, 1)]
    return len(one) == len(other) and all(
        any((x + a, y + b, z + c) in other for a, b, c in moves) for x, y, z in one
    )


def main():
    seg, contours, nifti = map(Path, sys.argv[1:4])
    truth = json.loads((seg / "truth.json").read_text())
    found = 0
    others = json.loads((nifti / "truth.json").read_text())
    for patient, other in zip(truth, others):
        study = f"dicom/{patient['patient_id']}/study-1"
        masks = by_seg(seg / study)
        for name, more in (
            ("contours", by_contours(contours / study)),
            ("NIfTI", by_nifti(nifti / "masks" / f"{other['series_uid']}.nii.gz")),
        ):
            if len(more) != len(masks) or not all(near(a, b) for a, b in zip(masks, more)):
                sys.exit(f"{patient['patient_id']}: {name} and SEG differ")
        nodes = [node for node in patient["nodes"]]
        for mask in masks:
            middle = np.mean(list(mask), axis=0) / 20
            if min(np.linalg.norm(middle - node["center_mm"]) for node in nodes) > 6:
                sys.exit(f"{patient['patient_id']}: a mask lies at no node")
        found += len(masks)
    print(f"same masks: {found} nodes of {len(truth)} patients")


main()
