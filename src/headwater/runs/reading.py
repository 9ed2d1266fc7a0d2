"""The data of a run read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headwater.errors import DataError, UsageError
from headwater.progress import Progress
from headwater.settings import RunSettings

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset

__all__ = ["training_data"]


def training_data(
    name: str, settings: RunSettings, record: Mapping[str, Any], data: Any, progress: Progress
) -> "Dataset":
    """The data a run was trained on; its splits are those of training.

    Args:
        name: Of the run, for messages.
        settings: Of the run.
        record: Its ``run.json``, with the ``data_fingerprint``.
        data: The same data again, where it was given in Python and has no path; else None.
        progress: Advances while reading.

    Raises:
        UsageError: the data has no path and was not given.
        DataError: it is not what the run was trained on.
    """
    from headwater.data import open_dataset

    source = settings.data.path if data is None else data
    if source is None:
        raise UsageError(
            f"The data of {name} was given in Python and is not stored.", hint="Pass it: run.dataset(data)"
        )
    dataset = open_dataset(source, settings.data, progress=progress)
    trained_on = record.get("data_fingerprint")
    if trained_on is not None and dataset.fingerprint != trained_on:
        raise DataError(
            f"The data of {name} has changed since training "
            f"(fingerprint {str(dataset.fingerprint)[:12]}, was {str(trained_on)[:12]}).",
            hint="Restore it, or score the new data by `headwater score RUN DATA`.",
        )
    return dataset
