"""Rows per second of the stream beside LitData, MosaicML Streaming, WebDataset, Hugging Face datasets, Grain, and PyTorch over pyarrow.

Arguments: dataset of two views, folder for the copies, the program `stream_rate`, warm rounds, cold rounds. Called by `make bench-stream`; prints
a part of docs/results/stream.md.

Every library has the same rows (voxels of both views, region, status, number), in its own format at its defaults, shuffled, in batches of 32, with
two workers, in a process of its own that lives through all rounds. An epoch counts from the request to the last batch. Rounds alternate between the
libraries; before a cold epoch the system is asked to forget the files (posix_fadvise). None of the others checks what it reads. The row of all rows in
memory has a budget that holds the dataset, and a global shuffle; its rows are read in the first round, which does not count.
"""

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import Value
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

BATCH, WORKERS, CHUNK = 32, 2, 64 << 20
VIEWS = ["near", "wide"]


class Records:
    """The rows of the largest split, in the order of the manifest."""

    def __init__(self, path):
        manifest = json.loads((path / "manifest.json").read_text())
        splits = Counter()
        for shard in manifest["shards"]:
            splits[shard["split"]] += shard["rows"]
        (self.split, self.rows), *_ = splits.most_common()
        shards = [shard for shard in manifest["shards"] if shard["split"] == self.split]
        self.files = [path / shard["path"] for shard in shards]
        self.shard_of = [number for number, shard in enumerate(shards) for _ in range(shard["rows"])]
        self.groups = sum(len(shard["row_groups"]) for shard in shards)
        found = {view["name"]: view for view in manifest["description"]["views"]}
        self.shapes = {name: (len(found[name]["channels"]), *found[name]["geometry"]["size"]) for name in VIEWS}
        self.row_bytes = sum(2 * int(np.prod(shape)) for shape in self.shapes.values())
        labels = pyarrow.concat_tables([parquet.read_table(file, columns=["sample_key", "patient_key"]) for file in self.files])
        self.number_of = {key: number for number, key in enumerate(labels["sample_key"].to_pylist())}
        self.patient_of = labels["patient_key"].to_pylist()

    def __iter__(self):
        number = 0
        for file in self.files:
            for row in parquet.read_table(file, columns=[*(f"voxels_{name}" for name in VIEWS), "region", "metastasis"]).to_pylist():
                views = {name: np.frombuffer(row[f"voxels_{name}"], np.int16).reshape(self.shapes[name]).copy() for name in VIEWS}
                labels = {name: -1 if row[name] is None else int(row[name]) for name in ("region", "metastasis")}
                yield {**views, **labels, "number": number}
                number += 1


def numbers_of(batch):
    return np.asarray(batch["number"]).tolist()


class LitData:
    def write(self, records, out):
        from litdata.streaming.writer import BinaryWriter

        writer = BinaryWriter(str(out), chunk_bytes=CHUNK)
        for number, record in enumerate(records):
            writer[number] = record
        writer.done()
        writer.merge(1)

    def open(self, records, out):
        import litdata

        data = litdata.StreamingDataset(str(out), shuffle=True)
        self.loader = litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=WORKERS, persistent_workers=True)

    def epoch(self, number):
        return map(numbers_of, self.loader)


class MosaicML:
    def write(self, records, out):
        import streaming

        columns = {name: "ndarray:int16:" + ",".join(map(str, shape)) for name, shape in records.shapes.items()}
        with streaming.MDSWriter(out=str(out), columns={**columns, "region": "int", "metastasis": "int", "number": "int"}, size_limit=CHUNK) as writer:
            for record in records:
                writer.write(record)

    def open(self, records, out):
        import streaming
        from torch.utils.data import DataLoader

        data = streaming.StreamingDataset(local=str(out), shuffle=True, batch_size=BATCH)
        self.loader = DataLoader(data, batch_size=BATCH, num_workers=WORKERS, persistent_workers=True, prefetch_factor=4)

    def epoch(self, number):
        return map(numbers_of, self.loader)


class WebDataset:
    def write(self, records, out):
        import webdataset

        out.mkdir()
        with webdataset.ShardWriter(f"{out}/%04d.tar", maxsize=CHUNK, verbose=0) as writer:
            for record in records:
                sample = {"__key__": f"{record['number']:08d}", "number.cls": record["number"]}
                for name in VIEWS:
                    file = io.BytesIO()
                    np.save(file, record[name])
                    sample[f"{name}.npy"] = file.getvalue()
                writer.write({**sample, "region.cls": record["region"], "metastasis.cls": record["metastasis"]})

    def open(self, records, out):
        import webdataset

        files = sorted(map(str, out.glob("*.tar")))
        parts = [*(f"{name}.npy" for name in VIEWS), "region.cls", "metastasis.cls", "number.cls"]
        data = webdataset.WebDataset(files, shardshuffle=len(files)).shuffle(512).decode().to_tuple(*parts).batched(BATCH)
        self.loader = webdataset.WebLoader(data, batch_size=None, num_workers=WORKERS, persistent_workers=True)

    def epoch(self, number):
        return (numbers_of({"number": batch[-1]}) for batch in self.loader)


class HuggingFace:
    def write(self, records, out):
        import datasets

        features = {f"voxels_{name}": datasets.Value("binary") for name in VIEWS}
        features |= {name: datasets.Value("int64") for name in ("region", "metastasis", "number")}

        def rows():
            for record in records:
                yield {f"voxels_{name}": record[name].tobytes() for name in VIEWS} | {name: record[name] for name in ("region", "metastasis", "number")}

        data = datasets.Dataset.from_generator(rows, features=datasets.Features(features), cache_dir=f"{out}-cache")
        data.save_to_disk(str(out), max_shard_size="64MB")
        shutil.rmtree(f"{out}-cache")

    def open(self, records, out):
        import datasets
        import torch
        from torch.utils.data import DataLoader

        def collate(rows):
            views = {
                name: torch.from_numpy(np.stack([np.frombuffer(row[f"voxels_{name}"], np.int16).reshape(shape) for row in rows]))
                for name, shape in records.shapes.items()
            }
            return views | {name: [row[name] for row in rows] for name in ("region", "metastasis", "number")}

        data = datasets.load_from_disk(str(out))
        self.loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=WORKERS, collate_fn=collate, persistent_workers=True, prefetch_factor=4)

    def epoch(self, number):
        return map(numbers_of, self.loader)


class Grain:
    def write(self, records, out):
        from array_record.python.array_record_module import ArrayRecordWriter

        out.mkdir()
        writer = ArrayRecordWriter(f"{out}/rows.array_record", "group_size:1")
        for record in records:
            labels = np.array([record["region"], record["metastasis"], record["number"]], np.int16)
            writer.write(labels.tobytes() + b"".join(record[name].tobytes() for name in VIEWS))
        writer.close()

    def open(self, records, out):
        import grain

        def decode(record):
            values, at = np.frombuffer(record, np.int16), 3
            found = {"region": values[0], "metastasis": values[1], "number": values[2]}
            for name, shape in records.shapes.items():
                length = int(np.prod(shape))
                found[name] = values[at : at + length].reshape(shape)
                at += length
            return found

        self.source, self.decode, self.grain = grain.sources.ArrayRecordDataSource(f"{out}/rows.array_record"), decode, grain

    def epoch(self, number):
        data = self.grain.MapDataset.source(self.source).seed(number).shuffle().map(self.decode)
        threads = self.grain.ReadOptions(num_threads=2 * WORKERS, prefetch_buffer_size=64)
        return map(numbers_of, data.to_iter_dataset(threads).batch(BATCH))


class PyArrow:
    """Row groups of our Parquet files, shuffled within four groups at a time by each of two workers: as many as our window."""

    def open(self, records, out):
        import torch
        from torch.utils.data import DataLoader, IterableDataset, get_worker_info

        torch.set_num_threads(1)
        self.now = Value("i", 0)
        now, columns = self.now, [*(f"voxels_{name}" for name in VIEWS), "region", "metastasis", "sample_key"]

        class Rows(IterableDataset):
            def __iter__(self):
                worker = get_worker_info()
                random = np.random.default_rng(now.value)
                files = [parquet.ParquetFile(file) for file in records.files]
                groups = [(file, group) for file in files for group in range(file.metadata.num_row_groups)]
                random.shuffle(groups)
                groups = groups[worker.id :: worker.num_workers]
                for first in range(0, len(groups), 4):
                    parts = [file.read_row_group(group, columns=columns, use_threads=False) for file, group in groups[first : first + 4]]
                    views = {}
                    for name, shape in records.shapes.items():
                        chunks = [chunk for part in parts for chunk in part[f"voxels_{name}"].chunks]
                        views[name] = np.concatenate([np.frombuffer(chunk.buffers()[2], np.int16)[: len(chunk) * int(np.prod(shape))].reshape(-1, *shape) for chunk in chunks])
                    table = pyarrow.concat_tables(parts)
                    labels = {name: table[name].fill_null(-1).to_numpy() for name in ("region", "metastasis")}
                    labels["number"] = np.array([records.number_of[key] for key in table["sample_key"].to_pylist()])
                    order = random.permutation(table.num_rows)
                    for start in range(0, len(order), BATCH):
                        part = order[start : start + BATCH]
                        yield {name: torch.from_numpy(values[part]) for name, values in (views | labels).items()}

        self.loader = DataLoader(Rows(), batch_size=None, num_workers=WORKERS, persistent_workers=True, prefetch_factor=4)

    def epoch(self, number):
        self.now.value = number
        return map(numbers_of, self.loader)


PEERS = {
    "LitData": LitData,
    "MosaicML Streaming": MosaicML,
    "WebDataset": WebDataset,
    "Hugging Face datasets": HuggingFace,
    "Grain": Grain,
    "PyTorch DataLoader over pyarrow": PyArrow,
}
# Named as `stream_rate serve` takes them.
OWN = {"mtids": "8", "mtids, `shuffle_row_groups = 48`": "48", "mtids, all rows in memory": "kept", "bare read, 2 threads": "bare"}


def serve(name, records, out):
    """Runs an epoch for each line, and answers with the seconds and the numbers of the rows."""
    library = PEERS[name]()
    library.open(records, out)
    print(flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        batches = list(library.epoch(int(line)))
        print(json.dumps([time.perf_counter() - began, batches]), flush=True)


class Process:
    def __init__(self, command, prefix=""):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.prefix = prefix

    def answer(self, line):
        self.process.stdin.write(f"{self.prefix}{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def epoch(self, number):
        return json.loads(self.answer(number))


def forget(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            opened = os.open(file, os.O_RDONLY)
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(opened)


def quality(batches, records):
    """Mean displacement and mean distance of neighbours, as shares of an epoch; pairs of a shard and of a patient in a batch."""
    order = np.array([number for batch in batches for number in batch])
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    full = [batch for batch in batches if len(batch) == BATCH]

    def pairs(of):
        return sum(count * (count - 1) / 2 for batch in full for count in Counter(of[number] for number in batch).values()) / len(full)

    displacement = np.abs(order - np.arange(len(order))).mean() / len(order)
    return displacement, np.abs(np.diff(place)).mean() / len(order), pairs(records.shard_of), pairs(records.patient_of)


def spread(values, digits=0):
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main(path, folder, program, warm, cold):
    records = Records(path)
    places = {name: folder / name.replace(" ", "-") for name in PEERS} | {"PyTorch DataLoader over pyarrow": path}
    for name, library in PEERS.items():
        if hasattr(library, "write") and not places[name].exists():
            library().write(records, places[name])
            print(f"{name} is written", file=sys.stderr)
    os.sync()
    own = [program, "serve", str(path), records.split, str(WORKERS)]
    processes = {name: Process(own, f"{setting} ") for name, setting in OWN.items()}
    for name in PEERS:
        processes[name] = Process([sys.executable, __file__, "serve", name, str(path), str(places[name])])
        processes[name].process.stdout.readline()
    speeds = {"warm": {name: [] for name in processes}, "cold": {name: [] for name in processes}}
    mixed, loads = {}, []
    # The first round fills the system's cache, and starts the workers.
    for number, state in enumerate(["none"] + ["warm"] * warm + ["cold"] * cold):
        loads.append(os.getloadavg()[0])
        for name, process in processes.items():
            if state == "cold":
                forget(places.get(name, path))
            seconds, batches = process.epoch(number)
            found = sorted(row if isinstance(row, int) else records.number_of[row] for batch in batches for row in batch)
            assert name == "bare read, 2 threads" or found == list(range(records.rows)), (name, len(found))
            if state == "none":
                mixed[name] = [[row if isinstance(row, int) else records.number_of[row] for row in batch] for batch in batches]
            else:
                speeds[state][name].append(records.rows / seconds)
        print(f"round {number}, {state}", file=sys.stderr)
    for process in processes.values():
        process.process.stdin.close()
        process.process.wait()
    sizes = {name: sum(file.stat().st_size for file in places.get(name, path).rglob("*") if file.is_file()) / 1e6 for name in PEERS}
    sizes["mtids"] = sum(file.stat().st_size for file in records.files) / 1e6
    sizes["PyTorch DataLoader over pyarrow"] = sizes["mtids"]
    print(f"{records.rows} rows of {records.row_bytes} bytes in {records.groups} row groups; {warm} warm and {cold} cold rounds, load of the machine ", end="")
    print(f"{min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} processors.")
    print("Rows per second: median [least, most]; ratios within a round.\n")
    print("| reader | MB on disk | warm | mtids / it | cold | mtids / it |\n|---|---|---|---|---|---|")
    for name in processes:
        cells = [name, f"{sizes[name]:.0f}" if name in sizes else ""]
        for state in ("warm", "cold"):
            ratios = [ours / other for ours, other in zip(speeds[state]["mtids"], speeds[state][name], strict=True)]
            cells += [spread(speeds[state][name]), "" if name == "mtids" else spread(ratios, 2)]
        print("| " + " | ".join(cells) + " |")
    print("\n| reader | displacement | neighbours | pairs of a shard | pairs of a patient |\n|---|---|---|---|---|")
    for name, batches in mixed.items():
        if name != "bare read, 2 threads":
            displacement, neighbours, shard, patient = quality(batches, records)
            print(f"| {name} | {displacement:.3f} | {neighbours:.4f} | {shard:.2f} | {patient:.2f} |")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], Records(Path(sys.argv[3])), Path(sys.argv[4]))
    else:
        Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
