"""The peer of `make bench-peers`: DICOM series and a table of nodes to Parquet shards of patches, with pydicom, SimpleITK and pyarrow.

Arguments: folder of studies, table, folder to write, workers, patch size and spacing (d,h,w and z,y,x). Does what a careful engineer does and no
more: reads each file once, groups by series, orders by position, refuses unequal steps, rescales to HU, resamples linearly, writes the same
columns of voxels and labels with the same compression; processes share the patients. Prints rows and the sum of all HU.
"""

import csv
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
PATIENTS_PER_SHARD = 8
ROW_GROUP_BYTES = 4 << 20


def load(folder):
    """Series of a folder: UID to image in HU."""
    series = {}
    for root, _, names in os.walk(folder):
        for name in names:
            one = pydicom.dcmread(os.path.join(root, name))
            if one.get("Modality") == "CT":
                series.setdefault(one.SeriesInstanceUID, []).append(one)
    images = {}
    for uid, slices in series.items():
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        places = np.array([one.ImagePositionPatient for one in slices], float)
        steps = np.diff(places[:, 2])
        if len(slices) < 3 or np.ptp(steps) > 0.02 + 0.01 * steps.mean():
            continue
        voxels = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
        image = sitk.GetImageFromArray(voxels.astype(np.int16))
        row, column = (float(x) for x in slices[0].PixelSpacing)
        image.SetSpacing((column, row, float(steps.mean())))
        image.SetOrigin(places[0].tolist())
        images[uid] = image
    return images


def cut(image, center, size, spacing):
    resample = sitk.ResampleImageFilter()
    resample.SetSize([int(n) for n in size[::-1]])
    resample.SetOutputSpacing([float(x) for x in spacing[::-1]])
    origin = [c - (n - 1) / 2 * s for c, n, s in zip(center, size[::-1], spacing[::-1])]
    resample.SetOutputOrigin(origin)
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetDefaultPixelValue(-1000)
    resample.SetOutputPixelType(sitk.sitkFloat32)
    return np.rint(sitk.GetArrayFromImage(resample.Execute(image))).astype("<i2")


def work(task):
    number, folders, rows, out, size, spacing = task
    labels, voxels = [], []
    for folder in folders:
        for uid, image in load(folder).items():
            for row in rows.get(uid, []):
                center = [float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")]
                voxels.append(cut(image, center, size, spacing))
                labels.append((folder.name, uid, *center, row["station"], row["metastasis"] or None, float(row["short_axis_mm"])))
    if not labels:
        return 0, 0
    width = 2 * int(np.prod(size))
    names = ["patient", "series", "x_mm", "y_mm", "z_mm", "station", "metastasis", "short_axis_mm"]
    columns = [pa.array(column) for column in zip(*labels)]
    buffer = pa.py_buffer(np.stack(voxels).tobytes())
    columns.append(pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(labels), [None, buffer]))
    table = pa.table(columns, names=[*names, "voxels"])
    path = out / f"part-{number:04}.parquet"
    pq.write_table(table, path, compression="zstd", compression_level=3, use_dictionary=names, row_group_size=max(1, ROW_GROUP_BYTES // width))
    return len(labels), int(sum(int(one.sum(dtype=np.int64)) for one in voxels))


def main():
    data, table, out, workers = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    size = [int(x) for x in sys.argv[5].split(",")]
    spacing = [float(x) for x in sys.argv[6].split(",")]
    rows = {}
    with open(table, newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["series_uid"], []).append(row)
    out.mkdir(parents=True)
    patients = sorted(path for path in data.iterdir() if path.is_dir())
    chunks = [patients[n : n + PATIENTS_PER_SHARD] for n in range(0, len(patients), PATIENTS_PER_SHARD)]
    tasks = [(n, chunk, rows, out, size, spacing) for n, chunk in enumerate(chunks)]
    with ProcessPoolExecutor(workers) as pool:
        counts = list(pool.map(work, tasks))
    print(sum(rows for rows, _ in counts), sum(total for _, total in counts))


if __name__ == "__main__":
    main()
