"""Writes crates/mtids-patch/tests/fixtures/radiomics.json: what pyradiomics measures on small regions.

    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 versioneer wheel "setuptools<80"
    .venv/bin/pip install --no-build-isolation -r tests/parity/measure_requirements.txt
    .venv/bin/python tests/parity/make_measure_fixtures.py

Each case is a grid, its HU and a mask, all three in the order of x fastest, and the features that have an IBSI definition. pyradiomics
resamples nothing, and bins nothing for these features.
"""

import json
import logging
import pathlib

import numpy as np
import SimpleITK as sitk
from radiomics import featureextractor

OUT = pathlib.Path(__file__).parents[2] / "crates/mtids-patch/tests/fixtures/radiomics.json"
FEATURES = {
    "shape": ["VoxelVolume", "MeshVolume", "SurfaceArea", "Sphericity", "Elongation"],
    "firstorder": ["Mean", "Median", "10Percentile", "90Percentile", "Variance"],
}
logging.getLogger("radiomics").setLevel(logging.ERROR)


def place(shape, spacing):
    """Coordinates in mm about the middle of a grid of shape (z, y, x)."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing[::-1])]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def smooth_node():
    """An ellipsoid with a dark core."""
    spacing, shape = (0.8, 0.8, 1.5), (11, 18, 24)
    x, y, z = place(shape, spacing)
    return spacing, (x / 8) ** 2 + (y / 5.5) ** 2 + (z / 6) ** 2 < 1, np.where(x**2 + y**2 + z**2 < 9, 20, 75)


def bumpy_node():
    """A margin of bumps, tissue of two kinds, a calcification."""
    spacing, shape = (0.7, 0.9, 1.0), (16, 20, 24)
    x, y, z = place(shape, spacing)
    radius = 6 * (1 + 0.18 * np.sin(5 * np.arctan2(y, x)) * np.cos(2 * np.arctan2(z, np.hypot(x, y))))
    inside = np.sqrt((x / 1.15) ** 2 + y**2 + z**2) < radius
    hu = np.where(x + y > 0, 60, 95)
    return spacing, inside, np.where((x - 2) ** 2 + y**2 + z**2 < 4, 480, hu)


def coarse_node():
    """Few voxels of 1 x 1 x 2 mm."""
    spacing, shape = (1.0, 1.0, 2.0), (6, 11, 11)
    x, y, z = place(shape, spacing)
    return spacing, ((x - 0.4) / 4.4) ** 2 + ((y + 0.3) / 3.2) ** 2 + ((z - 0.5) / 4) ** 2 < 1, np.full(shape, 45)


def two_lobes():
    """Two balls that touch at a corner, so that faces with diagonal corners occur."""
    spacing, shape = (1.0, 1.0, 1.0), (13, 13, 18)
    x, y, z = place(shape, spacing)
    ball = lambda a, b, c, r: (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < r * r
    return spacing, ball(-3.5, -1.5, -1.5, 4) | ball(3, 2, 2, 3.4), np.full(shape, 55)


def main():
    noise = np.random.default_rng(4711)
    cases = []
    for make in (smooth_node, bumpy_node, coarse_node, two_lobes):
        spacing, mask, hu = make()
        hu = np.rint(hu + noise.normal(0, 12, mask.shape)).astype(np.int16)
        images = [sitk.GetImageFromArray(array) for array in (hu, mask.astype(np.uint8))]
        for image in images:
            image.SetSpacing(spacing)
        extractor = featureextractor.RadiomicsFeatureExtractor()
        extractor.disableAllFeatures()
        extractor.enableFeaturesByName(**FEATURES)
        found = extractor.execute(*images)
        features = {name: float(found[f"original_{kind}_{name}"]) for kind, names in FEATURES.items() for name in names}
        cases.append({
            "name": make.__name__,
            "spacing_mm": spacing,
            "size": mask.shape[::-1],
            "hu": hu.ravel().tolist(),
            "mask": "".join("1" if voxel else "0" for voxel in mask.ravel()),
            "features": features,
        })
    OUT.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    OUT.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
