"""Datasets of patches from chest CT, as a verified stream of NumPy batches. Research software, not for diagnosis.

Example:
    >>> import mtids
    >>> dataset = mtids.open("out/demo/dataset")
    >>> for batch in mtids.Stream(dataset, "train", batch_size=32, seed=1):
    ...     near = batch.views["near"]  # int16 [B, C, D, H, W]: HU
    ...     status = batch.metastasis  # int64 [B]: 1 metastatic, 0 benign, -1 unknown

Units: HU (channel `pet`: hundredths of an SUV), LPS mm. Axes d (towards the head), h (towards the back), w (towards the left).
"""

import os
from collections.abc import Iterable
from json import loads
from typing import Any

from mtids._mtids import ArrowTable, Batch, Dataset, MtidsError, Patch, View, __version__
from mtids._mtids import predict as _predict
from mtids._stream import Stream

__all__ = ["ArrowTable", "Batch", "Dataset", "MtidsError", "Patch", "Stream", "View", "__version__", "open", "predict"]


def open(path: str | os.PathLike[str]) -> Dataset:
    """Opens a published dataset by its manifest.

    Args:
        path: folder that `mtids-prep build` wrote, or the URL of a bucket or web server (docs/guide/from-a-bucket.md).

    Raises:
        ValueError: a URL or a setting of the environment that cannot be used.
        MtidsError: there is no dataset, or its manifest is damaged.
    """
    return Dataset(path)


def predict(
    runs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    studies: str | os.PathLike[str],
    annotations: Iterable[str | os.PathLike[str]] = (),
    *,
    out: str | os.PathLike[str] | None = None,
    primary_side: str | None = None,
    edition: str = "9",
    dicom: bool = True,
    batch_size: int | None = None,
    settings: Iterable[str] = (),
) -> dict[str, Any]:
    """Says of candidates in DICOM studies in which region they lie and whether they are metastatic.

    Args:
        runs: folder of a run, or several that answer as an ensemble; none to measure only.
        studies: folder of DICOM files, of one study or of many.
        annotations: tables of points or masks; SEG, RTSTRUCT and SR are found among the studies.
        out: folder for prediction.json, nodes.csv, report.html and the DICOM objects. Default: nothing is written.
        primary_side: "right" or "left", for the N category.
        edition: of the TNM classification, "8" or "9".
        dicom: write SEG and SR, if `out` is given.
        batch_size: candidates per pass; no influence on the answer.
        settings: "key=value" of a build configuration.

    Returns:
        The content of prediction.json (schemas/prediction.json).

    Raises:
        ValueError: wrong settings, or runs that do not fit together.
        MtidsError: studies without any candidate, or a run that cannot be read.
        KeyboardInterrupt: a signal; what was written stays.
    """
    folders = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    answer: dict[str, Any] = loads(
        _predict(folders, studies, list(annotations), out, primary_side, edition, dicom, batch_size, list(settings))
    )
    return answer
