"""A phantom beside a real chest CT: side-by-side pictures, HU of tissues, noise power.

Arguments: folder of the real series, cohort, folder of `insert`, folder of images/ and phantom.md. Tissues are measured in discs: in
the real series at places chosen by eye and listed here, in phantoms at the landmarks of truth.json.
"""

import csv
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import between_marks
import numpy as np
import pydicom
from PIL import Image, ImageDraw

# Discs in the real series: slice (from the feet), column, row, radius in pixels. Chosen by eye, away from surfaces and plaques.
REAL = {
    "blood, descending aorta": [(0, 305, 412, 8), (1, 305, 408, 8), (2, 305, 408, 8)],
    "fat under the skin": [(1, 210, 190, 8), (9, 150, 220, 7)],
    "muscle of the back": [(9, 215, 475, 6)],
    "spongy bone, vertebra": [(9, 262, 405, 8)],
    "air, trachea": [(9, 268, 338, 8)],
    "lung": [(1, 150, 300, 14), (1, 150, 420, 14), (9, 160, 300, 14), (9, 380, 300, 14)],
}
# What must hold: difference of the means, and factor between the deviations.
TOLERANCE = {
    "blood, descending aorta": (10, 2.0),
    "fat under the skin": (15, 2.0),
    "muscle of the back": (20, 2.5),
    "spongy bone, vertebra": (60, 2.5),
    "air, trachea": (25, 3.5),
    "lung": (60, 3.0),
}
BANDS = [(0.05, 0.2), (0.2, 0.35), (0.35, 0.5), (0.5, 0.7)]
WINDOWS = {"mediastinum, W 400 L 40": (40, 400), "lung, W 1500 L −600": (-600, 1500)}


class Series:
    def __init__(self, folder):
        slices = [pydicom.dcmread(path) for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        slices = [one for one in slices if one.get("Modality") == "CT"]
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        self.hu = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
        self.origin = np.array([float(x) for x in slices[0].ImagePositionPatient])
        self.pixel = float(slices[0].PixelSpacing[0])
        self.step = float(slices[1].ImagePositionPatient[2]) - self.origin[2]

    def voxel(self, point):
        x, y, z = (np.array(point) - self.origin) / (self.pixel, self.pixel, self.step)
        return round(z), round(x), round(y)

    def disc(self, k, x, y, radius):
        rows, columns = np.mgrid[: self.hu.shape[1], : self.hu.shape[2]]
        return self.hu[k][(columns - x) ** 2 + (rows - y) ** 2 <= radius**2]

    def noise(self, k, x, y, half=8):
        """Noise power by band of spatial frequency (1/mm), in HU² mm², in a square without its slow part."""
        square = self.hu[k][y - half : y + half, x - half : x + half]
        v, u = np.mgrid[-half:half, -half:half]
        basis = np.c_[np.ones(square.size), u.ravel(), v.ravel(), u.ravel() ** 2, v.ravel() ** 2]
        rest = square.ravel() - basis @ np.linalg.lstsq(basis, square.ravel(), rcond=None)[0]
        power = np.abs(np.fft.fft2(rest.reshape(square.shape))) ** 2 * self.pixel**2 / square.size
        axis = np.fft.fftfreq(2 * half, self.pixel)
        frequency = np.hypot(*np.meshgrid(axis, axis))
        return rest.std(), [power[(frequency >= low) & (frequency < high)].mean() for low, high in BANDS]


def phantom_discs(series, marks):
    def disc(point, radius_mm, move=(0, 0, 0)):
        k, x, y = series.voxel(np.array(point) + move)
        return (k, x, y, radius_mm / series.pixel)

    aorta, carina, spine = marks["descending_aorta_mm"], marks["carina_mm"], marks["vertebra_mm"]
    discs = {
        "blood, descending aorta": [disc(aorta, 5, (0, 0, z)) for z in (-5, 0, 5)],
        "muscle of the back": [disc(spine, 3.5, (side * 24, 45, z)) for side in (-1, 1) for z in (0, 10)],
        "spongy bone, vertebra": [disc(spine, 5, (0, 0, z)) for z in (0,)],
        "air, trachea": [disc(marks["trachea_left_wall_mm"], 4, (-8.5, 0, 0))],
        "lung": [disc(carina, 7, (side * 84, y, z)) for side in (-1, 1) for y in (-20, 20) for z in (-10, 20)],
    }
    # Fat under the skin: the outermost fat in front of the breast bone, found from outside.
    fat = []
    for dz in (-30, 0, 30):
        k, x, y = series.voxel(np.array(carina) + (60, 0, dz))
        line = series.hu[k][:y, x]
        inside = np.flatnonzero((line > -140) & (line < -70))
        if inside.size:
            first = inside[0]
            run = first + np.argmax(line[first:] > -50)
            if (run - first) * series.pixel > 6:
                fat.append((k, x, (first + run) // 2, 0.3 * (run - first)))
    discs["fat under the skin"] = fat
    return discs


def window(slice_, center, width):
    return np.clip((slice_ - (center - width / 2)) / width * 255, 0, 255).astype("uint8")


def sheet(columns, path):
    """A sheet of pictures: one column for each (caption, slice), one row for each window."""
    side = 340
    canvas = Image.new("L", (side * len(columns), (side + 18) * len(WINDOWS)), 0)
    draw = ImageDraw.Draw(canvas)
    for row, (name, (center, width)) in enumerate(WINDOWS.items()):
        for n, (caption, slice_) in enumerate(columns):
            # The body lies in the lower part of the real slices: the upper eighth holds air.
            picture = Image.fromarray(window(slice_, center, width)).resize((side, side), Image.BILINEAR)
            canvas.paste(picture, (n * side, row * (side + 18) + 18))
            draw.text((n * side + 6, row * (side + 18) + 3), f"{caption} ({name.split(',')[0]})", fill=220)
    canvas.save(path, optimize=True)


def histograms(real_hu, phantom_hu, path):
    """One panel for each tissue: the real series filled, phantoms (all patients together) as a line."""
    width, height, margin = 330, 190, 34
    canvas = Image.new("RGB", (width * 3, height * 2), "white")
    draw = ImageDraw.Draw(canvas)
    for n, (name, values) in enumerate(real_hu.items()):
        other = np.concatenate(phantom_hu[name])
        left, top = n % 3 * width + margin, n // 3 * height + 26
        w, h = width - margin - 14, height - 60
        low, high = np.percentile(np.concatenate([values, other]), [0.5, 99.5])
        # Whole numbers of HU to a bin: images hold whole numbers, and other bins would comb.
        step = max(1, round((high - low) / 30))
        edges = np.arange(np.floor(low) - 5 * step, high + 6 * step, step) - 0.5
        a, b = (np.histogram(one, edges, density=True)[0] for one in (values, other))
        top_density = max(a.max(), b.max())
        x = lambda hu: left + w * (hu - edges[0]) / (edges[-1] - edges[0])
        y = lambda density: top + h * (1 - density / top_density)
        for density, e0, e1 in zip(a, edges, edges[1:]):
            draw.rectangle([x(e0), y(density), x(e1), top + h], fill="#b9cbe0")
        line = [(x(e), y(d)) for d, e0, e1 in zip(b, edges, edges[1:]) for e in (e0, e1)]
        draw.line(line, fill="#b3341f", width=2)
        draw.line([(left, top + h), (left + w, top + h)], fill="#444444")
        draw.text((left, top - 18), name, fill="#111111")
        for share in (0.0, 0.5, 1.0):
            hu = edges[0] + share * (edges[-1] - edges[0])
            draw.text((x(hu) - 12, top + h + 5), f"{hu:.0f}", fill="#444444")
    draw.text((margin, height * 2 - 14), "filled: real CT; line: phantoms, six patients together; HU", fill="#444444")
    canvas.save(path, optimize=True)


def main():
    real_folder, cohort, inserted, out = map(Path, sys.argv[1:5])
    real = Series(real_folder)
    truth = json.loads((cohort / "truth.json").read_text())
    phantoms = [(Series(cohort / "dicom" / one["patient_id"]), one["landmarks"]) for one in truth]

    real_hu = {name: np.concatenate([real.disc(*disc) for disc in discs]) for name, discs in REAL.items()}
    pooled = {name: [] for name in REAL}
    for series, marks in phantoms:
        for name, discs in phantom_discs(series, marks).items():
            pooled[name] += [series.disc(*disc) for disc in discs]
    lines = [
        "| tissue | real: mean ± deviation | phantoms: mean ± deviation | tolerance: mean, factor of deviation | within |",
        "|---|---|---|---|---|",
    ]
    missed = []
    for name, values in real_hu.items():
        # The deviation within a disc, as in the real series; means differ between patients.
        mean = np.mean([one.mean() for one in pooled[name]])
        deviation = np.mean([one.std() for one in pooled[name]])
        real_deviation = np.mean([real.disc(*disc).std() for disc in REAL[name]])
        allowed, factor = TOLERANCE[name]
        good = abs(mean - values.mean()) <= allowed and 1 / factor <= deviation / real_deviation <= factor
        if not good:
            missed.append(name)
        lines.append(
            f"| {name} | {values.mean():.0f} ± {real_deviation:.0f} | {mean:.0f} ± {deviation:.0f} | {allowed} HU, {factor:g}× | {'yes' if good else 'NO'} |"
        )
    lines += ["", "| noise in the aorta | deviation | " + " | ".join(f"{low:g}–{high:g} /mm" for low, high in BANDS) + " |"]
    lines.append("|---|" + "---|" * (len(BANDS) + 1))
    rows = {
        "real": [real.noise(k, x, y) for k, x, y, _ in REAL["blood, descending aorta"]],
        "phantoms": [series.noise(*series.voxel(marks["descending_aorta_mm"]), half=7) for series, marks in phantoms],
    }
    power = {}
    for name, found in rows.items():
        deviation = np.mean([one for one, _ in found])
        power[name] = np.mean([bands for _, bands in found], axis=0)
        lines.append(f"| {name} | {deviation:.1f} HU | " + " | ".join(f"{x:.1f}" for x in power[name]) + " |")
    ratio = power["phantoms"] / power["real"]
    lines.append("| ratio | | " + " | ".join(f"{x:.2f}" for x in ratio) + " |")
    text = "\n".join(lines)
    between_marks.write(out / "phantom.md", "likeness", text)
    print(text)

    images = out / "images"
    series, marks = phantoms[0]
    level = lambda name, move: series.voxel(np.array(marks[name]) + (0, 0, move))[0]
    sheet(
        [
            ("real, below the carina", real.hu[1]),
            ("phantom, below the carina", series.hu[level("carina_mm", -14)]),
            ("real, aortic arch", real.hu[8]),
            ("phantom, aortic arch", series.hu[level("arch_top_mm", -12)]),
        ],
        images / "phantom-and-real.png",
    )
    histograms(real_hu, pooled, images / "phantom-histograms.png")
    # Nodes inserted into the real CT, each in its slice, before and after.
    changed = Series(inserted / "dicom")
    with open(inserted / "annotations.csv", newline="") as file:
        nodes = list(csv.DictReader(file))[:4]
    tiles = Image.new("L", (256 * len(nodes), 2 * 256), 0)
    for n, node in enumerate(nodes):
        k, x, y = changed.voxel([float(node[axis]) for axis in ("x_mm", "y_mm", "z_mm")])
        for row, source in enumerate((real, changed)):
            cut = source.hu[k][max(y - 64, 0) : y + 64, max(x - 64, 0) : x + 64]
            tiles.paste(Image.fromarray(window(cut, 40, 400)).resize((256, 256), Image.BILINEAR), (256 * n, 256 * row))
    tiles.save(images / "inserted-nodes.png", optimize=True)
    if missed:
        sys.exit(f"outside their tolerance: {', '.join(missed)}")


main()
