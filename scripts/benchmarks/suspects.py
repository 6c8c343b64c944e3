"""Suspects of `mtids-audit` beside cleanlab's on the same probabilities: tables for docs/results/suspects.md.

Arguments: the program, folder of a cohort (cohort/truth.json and dataset/), a folder for work, first and last seed, settings (key=value). For each seed and kind of flip, 5 % of
the known labels of each dimension are flipped in a copy of the index. Labels count as wrong if they are not what truth.json says, so the cohort's own
wrong labels count too. Precision is that among the first 5 % of the judged rows.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys

import blake3
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from cleanlab.rank import get_label_quality_scores

SHARE = 0.05
STATUSES = ["benign", "metastatic"]
METHODS = ["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
RESAMPLES = 1000


def manifest_entry(manifest, name):
    return next(entry for entry in manifest["files"] if entry["name"] == name)


def matched(dataset, truth, manifest):
    """The findings with what is true of them. A patient is the one of the truth whose nodes lie nearest to most of its findings."""
    index = pl.read_parquet(dataset / manifest_entry(manifest, "index.parquet")["path"])
    findings = index.filter(pl.col("kind") == "finding")
    places = findings.select("center_x_mm", "center_y_mm", "center_z_mm").to_numpy()
    nodes = np.array([node["center_mm"] for patient in truth for node in patient["nodes"]])
    owners = np.array([number for number, patient in enumerate(truth) for _ in patient["nodes"]])
    votes = collections.defaultdict(collections.Counter)
    for key, place in zip(findings["patient_key"], places):
        votes[key][owners[((nodes - place) ** 2).sum(1).argmin()]] += 1
    patients = {key: counts.most_common(1)[0][0] for key, counts in votes.items()}
    if len(set(patients.values())) != len(patients):
        sys.exit("two patients of the dataset are one of the truth")
    found, farthest = [], 0.0
    for key, place in zip(findings["patient_key"], places):
        patient = truth[patients[key]]
        distances = [np.linalg.norm(np.array(node["center_mm"]) - place) for node in patient["nodes"]]
        nearest = int(np.argmin(distances))
        farthest = max(farthest, distances[nearest])
        found.append((patient, patient["nodes"][nearest]))
    if farthest > 5.0:
        sys.exit(f"a finding lies {farthest:.1f} mm from its node")
    return index, findings, found


class Cohort:
    def __init__(self, folder):
        self.dataset = folder / "dataset"
        self.manifest = json.loads((self.dataset / "manifest.json").read_text())
        truth = json.loads((folder / "cohort/truth.json").read_text())
        self.index, findings, found = matched(self.dataset, truth, self.manifest)
        regions = self.manifest["description"]["regions"]["regions"]
        self.regions = [region["name"] for region in regions]
        of_station = {station: code for code, region in enumerate(regions) for station in region["stations"]}
        nodes = [node for _, node in found]
        self.keys = findings["sample_key"].to_list()
        self.patients = np.unique(findings["patient_key"].to_numpy(), return_inverse=True)[1]
        self.classes = {"region": self.regions, "metastasis": STATUSES}
        unknown = [of_station.get(node["station"], -1) for node in nodes]
        self.true = {"region": np.array(unknown), "metastasis": np.array([STATUSES.index(node["metastasis"]) for node in nodes])}
        self.given = {name: findings[name].fill_null(-1).to_numpy().astype(int) for name in self.true}
        self.posterior = np.array([node["posterior"] for node in nodes])
        self.in_patient = np.array([node["posterior_in_patient"] for node in nodes])
        carinas = np.array([patient["landmarks"]["carina_mm"] for patient, _ in found])
        self.about_carina = np.array([node["center_mm"] for node in nodes]) - carinas
        self.neighbours()

    def neighbours(self):
        """Distance to the nearest node of another true region about the carina, in any patient, and that region."""
        region = self.true["region"]
        self.distance, self.next_region = np.zeros(len(region)), np.zeros(len(region), int)
        for n, place in enumerate(self.about_carina):
            distances = np.linalg.norm(self.about_carina - place, axis=1)
            distances[region == region[n]] = np.inf
            nearest = int(distances.argmin())
            self.distance[n], self.next_region[n] = distances[nearest], region[nearest]

    def flipped(self, seed, kind):
        """Labels with 5 % flips along both dimensions: at random, or where the truth itself is close to another class."""
        random = np.random.default_rng([seed, kind == "borderline"])
        labels = {name: given.copy() for name, given in self.given.items()}
        for name, given in labels.items():
            weights = (given >= 0).astype(float)
            count = round(SHARE * weights.sum())
            if kind == "borderline":
                close = np.exp(-(((self.in_patient - 0.5) / 0.15) ** 2) / 2) if name == "metastasis" else np.exp(-self.distance / 3)
                weights *= close + 1e-12
            chosen = random.choice(len(given), count, replace=False, p=weights / weights.sum())
            if name == "metastasis":
                given[chosen] = 1 - given[chosen]
            elif kind == "random":
                given[chosen] = (given[chosen] + random.integers(1, len(self.regions), count)) % len(self.regions)
            else:
                other = np.where(self.next_region[chosen] == given[chosen], self.true["region"][chosen], self.next_region[chosen])
                given[chosen] = np.where(other == given[chosen], (given[chosen] + 1) % len(self.regions), other)
        return labels

    def relabelled(self, labels, out):
        """A copy of the dataset with these labels: shards are linked, index and manifest are written anew."""
        shutil.rmtree(out, ignore_errors=True)
        (out / "meta").mkdir(parents=True)
        os.symlink((self.dataset / "shards").resolve(), out / "shards")
        manifest = json.loads(json.dumps(self.manifest))
        for entry in manifest["files"]:
            shutil.copy(self.dataset / entry["path"], out / entry["path"])
        code = lambda name: pl.Series(name, [None if label < 0 else int(label) for label in labels[name]], dtype=pl.Int8)
        names = pl.Series("region_name", [None if label < 0 else self.regions[label] for label in labels["region"]], dtype=pl.String)
        changed = pl.DataFrame({"sample_key": self.keys}).with_columns(code("region"), code("metastasis"), names)
        others = self.index.drop("region", "metastasis", "region_name")
        index = others.join(changed, on="sample_key", how="left", maintain_order="left").select(self.index.columns)
        entry = manifest_entry(manifest, "index.parquet")
        path = out / entry["path"]
        table = index.to_arrow()
        # The reader takes texts of 32-bit offsets.
        plain = [field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field for field in table.schema]
        pq.write_table(table.cast(pa.schema(plain)), path, store_schema=False)
        content = path.read_bytes()
        entry["digest"], entry["bytes"] = blake3.blake3(content).hexdigest(), len(content)
        (out / "manifest.json").write_text(json.dumps(manifest))


def judged(program, dataset, out, seed, settings):
    """Ranks and probabilities of the program."""
    command = [program, "suspects", dataset, "--out", out, "--all", "--set", "fail_on=never", "--set", f"seed={seed}"]
    command += [part for setting in settings for part in ("--set", setting)]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    result = json.loads((out / "suspects.json").read_text())
    return pl.read_csv(out / "suspects.csv"), pl.read_csv(out / "probabilities.csv"), result


def precision(order, wrong, weights):
    """Share of wrong labels among the first 5 % of a ranking, of rows with weights."""
    room = SHARE * weights.sum() - (np.cumsum(weights[order]) - weights[order])
    taken = np.clip(room, 0, weights[order])
    return (taken * wrong[order]).sum() / taken.sum()


def rankings(cohort, labels, ranks, probabilities, name):
    """Orders of the judged rows of a dimension by method, whether each is wrong, and its patient."""
    place = {key: n for n, key in enumerate(cohort.keys)}
    ours = ranks.filter(pl.col("dimension") == name).sort("rank")["finding"].to_list()
    columns = ["p_metastatic"] if name == "metastasis" else [f"p_{region}" for region in cohort.regions]
    frame = probabilities.drop_nulls(columns[0])
    keys, table = frame["sample_key"].to_list(), frame.select(columns).to_numpy()
    table = np.hstack([1 - table, table]) if name == "metastasis" else table
    at = {key: n for n, key in enumerate(keys)}
    rows = np.array([place[key] for key in keys])
    given = labels[name][rows]
    orders = {"ours": np.array([at[key] for key in ours])}
    for method in METHODS:
        orders[method] = np.argsort(get_label_quality_scores(given, table, method=method), kind="stable")
    if name == "metastasis":
        for what, posterior in [("exact, node", cohort.posterior), ("exact, patient", cohort.in_patient)]:
            p = posterior[rows]
            orders[what] = np.argsort(np.where(given == 1, p, 1 - p), kind="stable")
    return orders, given != cohort.true[name][rows], cohort.patients[rows]


def main():
    program, folder, work = map(pathlib.Path, sys.argv[1:4])
    seeds = range(int(sys.argv[4]), int(sys.argv[5]) + 1)
    cohort = Cohort(folder)
    for name, true in cohort.true.items():
        known = cohort.given[name] >= 0
        print(f"{name}: {known.sum()} known labels, {(cohort.given[name] != true)[known].mean():.4f} of them wrong before flips")
    print(f"manifest {blake3.blake3((cohort.dataset / 'manifest.json').read_bytes()).hexdigest()}\n")
    cases, noise = collections.defaultdict(list), collections.defaultdict(list)
    for kind in ["random", "borderline"]:
        for seed in seeds:
            labels = cohort.flipped(seed, kind)
            cohort.relabelled(labels, work / "dataset")
            ranks, probabilities, result = judged(program, work / "dataset", work / "out", seed, sys.argv[6:])
            for dimension in result["dimensions"]:
                name = dimension["dimension"]
                case = rankings(cohort, labels, ranks, probabilities, name)
                cases[name, kind].append(case)
                noise[name, kind].append((case[1].mean(), dimension["expected_noise"], dimension["noise"], *dimension["noise_interval"]))
    print("| dimension, flips | " + " | ".join(["ours", *METHODS, "exact, node", "exact, patient"]) + " | ours over self_confidence | over the best of the three |")
    print("|---" * 9 + "|")
    for (name, kind), of_seeds in cases.items():
        mean = lambda method, weigh: np.mean([precision(orders[method], wrong, weigh(people)) for orders, wrong, people in of_seeds])
        even = lambda people: np.ones(len(people))
        values = {method: mean(method, even) for method in of_seeds[0][0]}
        best = max(METHODS, key=values.get)
        ratios = collections.defaultdict(list)
        random = np.random.default_rng(0)
        for _ in range(RESAMPLES):
            count = cohort.patients.max() + 1
            drawn = np.bincount(random.integers(0, count, count), minlength=count).astype(float)
            weigh = lambda people: drawn[people]
            ours = mean("ours", weigh)
            for method in {METHODS[0], best}:
                ratios[method].append(ours / mean(method, weigh))
        shown = lambda method: "{:.2f} [{:.2f}–{:.2f}]".format(values["ours"] / values[method], *np.quantile(ratios[method], [0.025, 0.975]))
        cells = [f"{values[method]:.3f}" if method in values else "–" for method in ["ours", *METHODS, "exact, node", "exact, patient"]]
        print(f"| {name}, {kind} | " + " | ".join([*cells, shown(METHODS[0]), shown(best)]) + " |")
    print("\n| dimension, flips | truly wrong | mean of ours | confident joint | 95 % | intervals that hold the truth |\n|---|---|---|---|---|---|")
    for (name, kind), rows in noise.items():
        rows = np.array(rows)
        held = ((rows[:, 3] <= rows[:, 0]) & (rows[:, 0] <= rows[:, 4])).sum()
        m = rows.mean(0)
        print(f"| {name}, {kind} | {m[0]:.3f} | {m[1]:.3f} | {m[2]:.3f} | {m[3]:.3f}–{m[4]:.3f} | {held} of {len(rows)} |")


main()
