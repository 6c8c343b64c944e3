"""The voxel reader of mtids-phantom in SciPy and scikit-learn: fixtures for its tests, and both readers on one dataset.

    python3 -m venv .venv && .venv/bin/pip install -r tests/parity/voxel_reader_requirements.txt
    .venv/bin/python tests/parity/voxel_reader.py fixtures
    .venv/bin/python tests/parity/voxel_reader.py export DATASET OUT

`fixtures` writes crates/mtids-phantom/tests/fixtures/voxel_reader.json. `export` takes a dataset with one view of 16 × 48 × 48 voxels at 2 × 1 × 1 mm,
prints the AUROC of trees fitted to its training split on its test split, and writes what
`cargo run -p mtids-phantom --example voxel_reader -- OUT` needs to print ours.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

FIXTURES = Path(__file__).parents[2] / "crates/mtids-phantom/tests/fixtures/voxel_reader.json"
SIZE = (16, 48, 48)
Z, Y, X = np.meshgrid((np.arange(16) - 7.5) * 2, np.arange(48) - 23.5, np.arange(48) - 23.5, indexing="ij")
RADIUS = np.sqrt(Z**2 + Y**2 + X**2)
SHELLS = [0, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15]


def part_at(mask, seed):
    labels, _ = ndimage.label(mask)
    found = labels[seed & (labels > 0)]
    return labels == np.bincount(found).argmax() if len(found) else None


def region(hu, smooth, depth):
    center = np.median(smooth[RADIUS < 3])
    low = -80 + (center + 80) * (1 - depth) if center > -40 else center - 30
    mask = part_at((smooth > low) & (smooth < max(center + 90, 160)) & (RADIUS < 16), RADIUS < 2)
    if mask is None:
        return [0] * 12
    mask = ndimage.binary_opening(mask) if mask.sum() > 60 else mask
    part = part_at(mask, RADIUS < 4)
    mask = mask if part is None else part
    places = np.argwhere(mask) * [2, 1, 1.0]
    if len(places) < 5:
        return [len(places)] + [0] * 11
    deviations = lambda points: np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 1e-6))
    flat = np.argwhere(mask[int(np.argmax(mask.sum((1, 2))))]).astype(float)
    plane = deviations(flat) if len(flat) > 3 else np.zeros(2)
    inner = ndimage.binary_erosion(mask)
    edge = mask ^ inner
    core = hu[inner] if inner.sum() > 5 else hu[mask]
    slope = np.sqrt(sum(ndimage.sobel(smooth, axis) ** 2 for axis in range(3)))
    return [
        len(places) * 2,
        *(deviations(places) * 4),
        *(plane * 4),
        plane[1] / (plane[0] + 0.1),
        edge.sum() / len(places) ** (2 / 3),
        slope[edge].mean(),
        core.mean(),
        core.std(),
        np.percentile(core, 10),
    ]


def statistics(patch):
    hu = patch.astype(np.float32)
    found = []
    for low, high in zip(SHELLS, SHELLS[1:]):
        x = hu[(RADIUS >= low) & (RADIUS < high)]
        found += [x.mean(), x.std(), *np.percentile(x, [5, 25, 50, 75, 95]), (x > 0).mean(), (x < -30).mean(), (x > 150).mean()]
    smooth = ndimage.gaussian_filter(hu, (0.4, 0.8, 0.8))
    for depth in (0.5, 0.3):
        found += region(hu, smooth, depth)
    return np.array(found, np.float32)


def trees(rows, truth, rounds=300):
    booster = HistGradientBoostingClassifier(
        max_iter=rounds, learning_rate=0.03, max_leaf_nodes=15, l2_regularization=5, early_stopping=False
    )
    return booster.fit(rows, truth)


def scrambled(numbers):
    """A hash of whole numbers below 2³², the same in the test of the crate."""
    numbers = np.asarray(numbers, np.uint64)
    for _ in range(2):
        numbers = ((numbers ^ (numbers >> np.uint64(16))) * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
    return numbers ^ (numbers >> np.uint64(16))


def painted(case):
    """Solids a·x² + b·y² + c·z² < limit around their middles, all in half millimetres, over fat, with noise of −20 to 20 HU."""
    patch = np.full(SIZE, -100, np.int64)
    for solid in case["solids"]:
        off = [(2 * place).astype(np.int64) - middle for place, middle in zip((X, Y, Z), solid["middle"])]
        patch[sum(factor * o * o for factor, o in zip(solid["factors"], off)) < solid["limit"]] = solid["hu"]
    noise = scrambled(np.arange(patch.size) + 100_000 * case["seed"]) % np.uint64(41)
    return (patch + noise.astype(np.int64).reshape(SIZE) - 20).astype(np.int16)


def fixtures():
    solid = lambda hu, limit, middle=(0, 0, 0), factors=(1, 1, 1): dict(hu=hu, limit=limit, middle=middle, factors=factors)
    cases = [
        dict(name="a ball of 5 mm", solids=[solid(60, 100)]),
        dict(name="a long node with a fatty hilum", solids=[solid(70, 700, factors=(1, 3, 2)), solid(-70, 30, (0, 12, 0))]),
        dict(name="a node that touches a bright vessel", solids=[solid(260, 400, (34, 0, 0)), solid(55, 260)]),
        dict(name="two nodes joined by a bridge", solids=[solid(50, 200), solid(50, 200, (0, 30, 0)), solid(50, 4, (0, 15, 0))]),
        dict(name="a point beside its node", solids=[solid(45, 150, (22, 0, 0))]),
        dict(name="fat alone", solids=[]),
        dict(name="a speck", solids=[solid(400, 12)]),
        dict(name="a node at the lung", solids=[solid(-850, 10**6, (-1020, 0, 0)), solid(40, 250)]),
    ]
    for seed, case in enumerate(cases):
        case["seed"] = seed
        case["statistics"] = [float(x) for x in statistics(painted(case))]
    # Six features, the last of few values; the class depends on two of them and on chance.
    cells = scrambled(np.arange(900 * 6) + 5_000_000).astype(np.int64) % 20_001 - 10_000
    rows = (cells.reshape(900, 6) / 1000).astype(np.float32)
    rows[:, 5] = np.round(rows[:, 5] / 4)
    chance = scrambled(np.arange(900) + 9_000_000).astype(np.int64) % 1000
    truth = (rows[:, 0] * rows[:, 1] + 3 * rows[:, 5] > 0) ^ (chance < 150)
    probabilities = trees(rows[:601], truth[:601], 60).predict_proba(rows[601:])[:, 1]
    boosted = dict(rounds=60, fitted=601, probabilities=[float(p) for p in probabilities])
    FIXTURES.parent.mkdir(parents=True, exist_ok=True)
    FIXTURES.write_text(json.dumps(dict(patches=cases, boosted=boosted), indent=1) + "\n")


def split_of(root, split):
    import pyarrow.parquet as pq

    patches, status, patients = [], [], []
    for file in sorted((root / "shards" / split).glob("*.parquet")):
        for row in pq.read_table(file, columns=["patient_key", "metastasis", "voxels"]).to_pylist():
            if row["metastasis"] is not None:
                patches.append(np.frombuffer(row["voxels"], "<i2").reshape(SIZE))
                status.append(row["metastasis"])
                patients.append(row["patient_key"])
    return patches, np.array(status), patients


def export(root, out):
    out.mkdir(parents=True, exist_ok=True)
    rows, truth = {}, {}
    for split in ("train", "test"):
        patches, truth[split], patients = split_of(root, split)
        rows[split] = np.array([statistics(patch) for patch in patches])
        np.stack(patches).astype("<i2").tofile(out / f"{split}.i16")
        lines = [f"{patient},{state}" for patient, state in zip(patients, truth[split])]
        (out / f"{split}.csv").write_text("\n".join(lines) + "\n")
    probabilities = trees(rows["train"], truth["train"]).predict_proba(rows["test"])[:, 1]
    print(f"scikit-learn: train split to test split {roc_auc_score(truth['test'], probabilities):.4f}")


if sys.argv[1:] == ["fixtures"]:
    fixtures()
elif sys.argv[1:2] == ["export"] and len(sys.argv) == 4:
    export(Path(sys.argv[2]), Path(sys.argv[3]))
else:
    sys.exit(__doc__)
