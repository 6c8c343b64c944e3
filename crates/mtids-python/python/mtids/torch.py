"""The stream for PyTorch: an `IterableDataset` that goes on in the middle of an epoch.

The order is that of `mtids.Stream`: the same batches for any number of workers. Reading, checking and collating already run in threads beside
Python, so `num_workers=0` is the quickest; with workers each reads every row group and takes batches in turn.

Example:
    >>> from torch.utils.data import DataLoader
    >>> data = StreamDataset(mtids.open("dataset"), "train", batch_size=32, seed=1)
    >>> loader = DataLoader(data, batch_size=None)
    >>> for epoch in range(10):
    ...     data.set_epoch(epoch)
    ...     for batch in loader:
    ...         ...  # {"near": int16 [B, C, D, H, W], "wide": …, "region": int64 [B], "metastasis": int64 [B]}

To go on in the middle, save `data.state_dict()` between two steps (without workers), or use torchdata's `StatefulDataLoader`, which keeps the
state of each worker.
"""

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

import mtids


class StreamDataset(IterableDataset[dict[str, torch.Tensor]]):
    """Batches of a split as tensors; give it to a `DataLoader` with `batch_size=None`.

    Args:
        dataset: from `mtids.open`; a path for workers that are spawned, which cannot inherit an open dataset.
        split: "train", "validation" or "test".
        settings: of `mtids.Stream`, but for `epoch`, `position`, `every` and `state`.
    """

    def __init__(self, dataset: mtids.Dataset | str, split: str = "train", **settings: Any) -> None:
        super().__init__()
        self.path = str(dataset.path if isinstance(dataset, mtids.Dataset) else dataset)
        self.split = split
        self.settings = settings
        # Shared, so that workers that live on see the next epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._dataset: mtids.Dataset | None = None
        self._stream: mtids.Stream | None = None
        self._process = os.getpid()
        self._resume: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dataset": None, "_stream": None}

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration, and forgets a position inside another one."""
        if epoch != self.epoch:
            self._resume = None
            self._stream = None
        self._epoch.fill_(epoch)

    def _open(self, **place: Any) -> mtids.Stream:
        self._own()
        if self._dataset is None:
            self._dataset = mtids.open(self.path)
        return mtids.Stream(self._dataset, self.split, epoch=self.epoch, **self.settings, **place)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._open().batches

    def _own(self) -> None:
        """In a worker, forgets what its parent had open."""
        if self._process != os.getpid():
            self._dataset, self._stream, self._process = None, None, os.getpid()

    def _beginning(self) -> tuple[mtids.Stream, int, int]:
        """A stream where the next iteration of this process begins, its first own batch, and the number of workers."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        saved = self._resume
        stream = self._open(state=None if saved is None else saved["stream"])
        # What a worker saved is the next of its own batches; anything else is where all of them begin.
        is_own = saved is not None and workers > 1 and saved["workers"] == workers
        return stream, stream.next_batch + (0 if is_own else number), workers

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        stream, first, workers = self._beginning()
        self._resume = None
        self._stream = self._open(state=stream.state(first), every=workers)
        for batch in self._stream:
            yield tensors(batch)

    def state_dict(self) -> dict[str, Any]:
        """Where this process stands: the epoch, and the position of its next batch."""
        self._own()
        if self._stream is None:
            stream, first, workers = self._beginning()
            return {"epoch": self.epoch, "workers": workers, "stream": stream.state(first)}
        worker = get_worker_info()
        return {"epoch": self.epoch, "workers": worker.num_workers if worker else 1, "stream": self._stream.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on there at the next iteration.

        Raises:
            ValueError: at that iteration, where the position is of another dataset, sampling, seed or epoch.
        """
        self.set_epoch(state["epoch"])
        self._resume = state
        self._stream = None


def tensors(batch: mtids.Batch) -> dict[str, torch.Tensor]:
    """Tensors of a batch, without a copy: voxels of each view by its name, `region` and `metastasis`."""
    found = {name: torch.from_numpy(voxels) for name, voxels in batch.views.items()}
    found["region"] = torch.from_numpy(batch.region)
    found["metastasis"] = torch.from_numpy(batch.metastasis)
    return found
