"""The compiled part of the package."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

__version__: str

class MtidsError(Exception):
    """Data that cannot be used, with the reason and what to do."""

@final
class ArrowTable:
    """A table in Arrow's layout: `pyarrow.table(table)`, `polars.DataFrame(table)` and DuckDB read it without a copy."""

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""

    def __len__(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any: ...

@final
class View:
    """How a view of a row is cut."""

    @property
    def name(self) -> str:
        """Its name."""
    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (C, D, H, W) of a row."""
    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing (d, h, w) in mm."""
    @property
    def channels(self) -> list[str]:
        """Names of the channels; `ct` is in HU, `pet` in hundredths of an SUV."""
    @property
    def planes(self) -> str:
        """How its planes lie: `volume`, `stack` or `orthogonal`."""

@final
class Patch:
    """Voxels of one view of one row."""

    @property
    def voxels(self) -> NDArray[np.int16]:
        """Stored values [C, D, H, W]."""
    @property
    def view(self) -> View:
        """Its view."""
    @property
    def center_mm(self) -> tuple[float, float, float]:
        """Centre of the node (x, y, z), LPS mm."""
    @property
    def affine(self) -> NDArray[np.float64] | None:
        """4 × 4: index (d, h, w, 1) to (x, y, z, 1) in LPS mm; `None` for orthogonal planes, which have no common one."""

@final
class Dataset:
    """A published dataset. Every byte that is returned was checked against its manifest."""

    def __new__(cls, path: str | os.PathLike[str]) -> Self: ...
    def __len__(self) -> int:
        """Rows of all splits."""
    @property
    def path(self) -> str:
        """Its folder."""
    @property
    def digest(self) -> str:
        """Digest of the manifest: two datasets with the same digest are the same bytes."""
    @property
    def regions(self) -> list[str]:
        """Names of the regions by their code."""
    @property
    def views(self) -> list[View]:
        """The views, in the order of the voxel columns."""
    def index(self) -> ArrowTable:
        """Every column but the voxels, and where each row lies (schemas/patch.json)."""
    def patch(self, row: int, view: str) -> Patch:
        """Voxels of a view of a row of the index.

        Raises:
            IndexError: no such row.
            KeyError: no such view.
            MtidsError: the row group is damaged.
        """

@final
class Batch:
    """Rows of one step."""

    @property
    def index(self) -> int:
        """Number in the epoch, from 0."""
    @property
    def skipped(self) -> int:
        """Rows left out because they are damaged."""
    @property
    def views(self) -> dict[str, NDArray[np.int16]]:
        """Stored values [B, C, D, H, W] of each view by its name; Python may write to them."""
    @property
    def region(self) -> NDArray[np.int64]:
        """Code of the region [B]; -1 where it is unknown."""
    @property
    def metastasis(self) -> NDArray[np.int64]:
        """1 for metastatic, 0 for benign [B]; -1 where the status is unknown."""
    @property
    def labels(self) -> ArrowTable:
        """Every column of the index but where a row lies."""
    def __len__(self) -> int: ...

@disjoint_base
class Stream:
    """Batches of one epoch; `mtids.Stream` has the keywords."""

    def __new__(
        cls,
        dataset: Dataset,
        split_name: str,
        batch_size: int,
        seed: int,
        epoch: int,
        shuffle: bool,
        position: int,
        every: int,
        rank: int,
        ranks: int,
        settings: str,
        state: str | None = None,
    ) -> Self: ...
    @property
    def batches(self) -> int:
        """Batches of the whole epoch."""
    @property
    def next_batch(self) -> int:
        """Number of the batch that comes next."""
    def state_json(self, batch: int | None = None) -> str:
        """What to save so as to go on at the next batch, or at `batch`."""
    def __iter__(self) -> Iterator[Batch]: ...
    def __next__(self) -> Batch: ...

@final
class Balancer:
    """A balancer; `mtids.balance.Balancer` has the keywords."""

    def __new__(cls, config: str, tasks: int) -> Self: ...
    @property
    def method(self) -> str: ...
    @property
    def tasks(self) -> int: ...
    def coefficients(
        self,
        gram: NDArray[np.float64],
        losses: NDArray[np.float64] | None = None,
        active: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float64], str]: ...
    def combine(
        self,
        gradients: NDArray[np.float64],
        losses: NDArray[np.float64] | None = None,
        active: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, str]: ...
    def end_epoch(self) -> None: ...
    def after_step(self, losses: NDArray[np.float64]) -> None: ...
    def state(self) -> str: ...
    def restore(self, state: str) -> None: ...

def methods() -> list[tuple[str, str]]: ...
def predict(
    runs: Sequence[str | os.PathLike[str]],
    studies: str | os.PathLike[str],
    annotations: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None,
    primary_side: str | None,
    edition: str,
    dicom: bool,
    batch_size: int | None,
    settings: Sequence[str],
) -> str: ...
def run(program: str, arguments: Sequence[str]) -> int: ...
