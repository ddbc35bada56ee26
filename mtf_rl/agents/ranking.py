"""Rank the candidates in a data frame with a policy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.agents.fusion_policy import FusionPolicy
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rank"]

REQUEST = "request"


def rank(frame: "pd.DataFrame", policy: FusionPolicy) -> "pd.DataFrame":
    """Rank the candidates of each request, best first, as the environment does.

    A request's result does not depend on the other requests in the frame.

    Args:
        frame: one row per candidate video. Columns: each of the policy's tasks, with the
            prediction in [0, 1]; `request`, the identifier of the row's request (without it all
            rows are one request); and the names in `policy.context`, with equal values in all rows
            of a request. Statistics over the candidates are computed from the predictions. Other
            columns, such as a `video_id`, are kept.
        policy: a policy from `load_policy`.

    Returns:
        A new frame with the same rows and index, sorted by request, then rank. Added columns:
        `score` (float32), `rank` (from 1 for the best; of tied scores the earlier row comes first)
        and `weight/NAME` for each fusion parameter.

    Raises:
        DataError: if a column is missing, duplicated or has the name of an added column; if the
            frame has no row; if a prediction is not a number in [0, 1]; or if a context value is
            not finite or differs within a request.
    """
    import pandas as pd  # already loaded: the caller made a frame

    names = policy.parameter_names
    added_names = ["score", "rank", *(f"weight/{name}" for name in names)]
    _check_columns(frame, policy, added_names)
    requests = _requests_of(frame)
    predictions = _predictions_of(frame, policy.tasks)  # (rows, tasks)
    context = _context_of(frame, policy.context, requests)  # (requests, context)

    scores = np.empty(len(frame), dtype=np.float32)
    parameters = np.empty((len(requests.sizes), len(names)), dtype=np.float32)
    for same, rows in requests.by_size():  # (num_envs,), (num_envs, candidates)
        parameters[same] = policy.parameters(predictions[rows], context[same])
        scores[rows] = policy.fused(predictions[rows], parameters[same])

    order = np.lexsort((-scores, requests.of_row))  # stable: ties keep the order of the rows
    of_row = requests.of_row[order]
    positions = np.arange(len(frame)) - requests.starts[of_row]
    ranked = frame.iloc[order]
    # One block for all weights: assigning column by column takes longer than the whole ranking.
    first = {"score": scores[order], "rank": positions + 1}
    added = (
        pd.DataFrame(first, index=ranked.index, copy=False),
        pd.DataFrame(parameters[of_row], index=ranked.index, columns=added_names[2:], copy=False),
    )
    return pd.concat([ranked, *added], axis=1)


@dataclass(frozen=True)
class _Requests:
    """The rows of each request; requests are numbered in sorted order."""

    of_row: IntArray  # (rows,) int64
    labels: NDArray[np.object_]  # (requests,)
    sizes: IntArray  # (requests,), candidates of each
    starts: IntArray  # (requests,), position of each request's first row in `rows`
    rows: IntArray  # (rows,), row numbers sorted by request, then by position in the frame

    @classmethod
    def of(cls, numbers: IntArray, labels: NDArray[np.object_]) -> "_Requests":
        """Group rows by request, given each row's request number, (rows,)."""
        sizes = np.bincount(numbers)
        rows = np.argsort(numbers, kind="stable")
        return cls(numbers, labels, sizes, np.cumsum(sizes) - sizes, rows)

    @property
    def first(self) -> IntArray:
        """The first row of each request, (requests,)."""
        return self.rows[self.starts]

    def by_size(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield groups of requests of equal size: numbers (num_envs,), rows (num_envs, size)."""
        for size in np.unique(self.sizes):
            same = np.flatnonzero(self.sizes == size)
            yield same, self.rows[self.starts[same][:, None] + np.arange(size)]


def _check_columns(frame: "pd.DataFrame", policy: FusionPolicy, added_names: list[str]) -> None:
    columns = frame.columns
    if not columns.is_unique:
        twice = columns[columns.duplicated()].unique()
        raise DataError(f"duplicated columns: {', '.join(map(str, twice))}; keep one of each")
    present = set(columns)
    missing = [name for name in (*policy.tasks, *policy.context) if name not in present]
    if missing:
        raise DataError(
            f"columns are missing: {', '.join(missing)}; a frame needs the policy's tasks"
            f" ({', '.join(policy.tasks)}), with predictions in [0, 1], and the"
            f" {len(policy.context)} columns named in policy.context"
        )
    taken = [name for name in added_names if name in present]
    if taken:
        raise DataError(
            f"the frame already has the columns {', '.join(taken)}, which rank adds; drop or"
            " rename yours"
        )
    if len(frame) == 0:
        raise DataError("the frame has no rows; give one row per candidate")


def _requests_of(frame: "pd.DataFrame") -> _Requests:
    if REQUEST not in frame.columns:
        return _Requests.of(np.zeros(len(frame), dtype=np.int64), np.array(["all"], dtype=object))
    values = frame[REQUEST].to_numpy()
    if values.dtype.kind in "iu":
        labels, numbers = np.unique(values, return_inverse=True)
        return _Requests.of(numbers.astype(np.int64), labels.astype(object))
    import pandas as pd

    numbers, labels = pd.factorize(frame[REQUEST], sort=True)
    missing = np.flatnonzero(numbers < 0)
    if len(missing):
        raise DataError(f"request is missing in row {frame.index[missing[0]]}")
    return _Requests.of(numbers.astype(np.int64), np.asarray(labels, dtype=object))


def _predictions_of(frame: "pd.DataFrame", tasks: tuple[str, ...]) -> FloatArray:
    """The tasks' predictions, (rows, tasks) float32 in [0, 1]."""
    predictions = np.empty((len(frame), len(tasks)))
    for column, name in enumerate(tasks):
        predictions[:, column] = _numbers(frame, name)
    in_range = (predictions >= 0.0) & (predictions <= 1.0)
    if not in_range.all():
        column = int(np.flatnonzero(~in_range.all(axis=0))[0])
        bad = np.flatnonzero(~in_range[:, column])
        raise DataError(
            f"{tasks[column]} must be a prediction in [0, 1], got {predictions[bad[0], column]} in"
            f" row {frame.index[bad[0]]} (invalid rows: {len(bad)})"
        )
    return predictions.astype(np.float32)


def _context_of(frame: "pd.DataFrame", names: tuple[str, ...], requests: _Requests) -> FloatArray:
    """The context of each request, (requests, context) float64."""
    first = requests.first
    context = np.empty((len(first), len(names)))
    for column, name in enumerate(names):
        values = _numbers(frame, name)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(
                f"{name} must be finite, got {values[bad[0]]} in row {frame.index[bad[0]]}"
            )
        differs = np.flatnonzero(values != values[first][requests.of_row])
        if len(differs):
            label = requests.labels[requests.of_row[differs[0]]]
            raise DataError(
                f"{name} must be equal in all rows of a request; in request {label}, row"
                f" {frame.index[differs[0]]} differs from the first row"
            )
        context[:, column] = values[first]
    return context


def _numbers(frame: "pd.DataFrame", name: str) -> FloatArray:
    """A column as (rows,) float64, NaN for missing values."""
    column = frame[name]
    values: NDArray[Any] = column.to_numpy()
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(f"{name} must hold numbers, got a column of type {column.dtype}")
    numbers: FloatArray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers
