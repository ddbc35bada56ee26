"""Candidates of requests in a table, put in the order that a policy gives them."""

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
    """The candidates of each request, best first, as the environment would rank them.

    A request's result is the same whether it comes alone or among others.

    Args:
        frame: one row per candidate video. Columns: each of the policy's tasks, with the
            prediction in [0, 1]; `request`, which request the row belongs to (without it all rows
            are one request); and `policy.context`, what the policy reads of a request besides the
            predictions, the same in all of a request's rows. What is known of the candidates as
            a whole is computed from the predictions. Other columns, such as a `video_id`, are kept.
        policy: as `load_policy` returns it.

    Returns:
        A new frame with the same rows and index, and as further columns `score` (float32), `rank`
        (from 1 for the best; of equal scores the earlier row is better) and the fusion
        parameters, `weight/NAME` each. Sorted by request, then rank.

    Raises:
        DataError: if a column is missing, there twice, or to be written; if there is no row; if a
            prediction is no number in [0, 1]; or if what belongs to a request is no finite number,
            or differs within it.
    """
    import pandas as pd  # loaded already, by whoever made the frame

    names = policy.parameter_names
    written = ["score", "rank", *(f"weight/{name}" for name in names)]
    _check_columns(frame, policy, written)
    requests = _requests_of(frame)
    predictions = _predictions_of(frame, policy.tasks)  # (rows, tasks)
    context = _context_of(frame, policy.context, requests)  # (requests, context)

    scores = np.empty(len(frame), dtype=np.float32)
    parameters = np.empty((len(requests.sizes), len(names)), dtype=np.float32)
    for same, rows in requests.by_size():  # (num_envs,), (num_envs, candidates)
        parameters[same] = policy.parameters(predictions[rows], context[same])
        scores[rows] = policy.fused(predictions[rows], parameters[same])

    order = np.lexsort((-scores, requests.of_row))  # stable: equal scores stay as they came
    of_row = requests.of_row[order]
    positions = np.arange(len(frame)) - requests.starts[of_row]
    ranked = frame.iloc[order]
    # One block for all weights: to assign column by column takes longer than all the rest.
    first = {"score": scores[order], "rank": positions + 1}
    added = (
        pd.DataFrame(first, index=ranked.index, copy=False),
        pd.DataFrame(parameters[of_row], index=ranked.index, columns=written[2:], copy=False),
    )
    return pd.concat([ranked, *added], axis=1)


@dataclass(frozen=True)
class _Requests:
    """Which rows make which request; requests are numbered in sorted order."""

    of_row: IntArray  # (rows,) int64
    labels: NDArray[np.object_]  # (requests,)
    sizes: IntArray  # (requests,), candidates of each
    starts: IntArray  # (requests,), where each starts once rows are sorted by request
    rows: IntArray  # (rows,), sorted by request, else as they came

    @classmethod
    def of(cls, numbers: IntArray, labels: NDArray[np.object_]) -> "_Requests":
        """Requests by the number that each row (rows,) bears."""
        sizes = np.bincount(numbers)
        rows = np.argsort(numbers, kind="stable")
        return cls(numbers, labels, sizes, np.cumsum(sizes) - sizes, rows)

    @property
    def first(self) -> IntArray:
        """The first row of each request, (requests,)."""
        return self.rows[self.starts]

    def by_size(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Requests of one size together, (num_envs,), with their rows (num_envs, candidates)."""
        for size in np.unique(self.sizes):
            same = np.flatnonzero(self.sizes == size)
            yield same, self.rows[self.starts[same][:, None] + np.arange(size)]


def _check_columns(frame: "pd.DataFrame", policy: FusionPolicy, written: list[str]) -> None:
    columns = frame.columns
    if not columns.is_unique:
        twice = columns[columns.duplicated()].unique()
        raise DataError(f"columns are there twice: {', '.join(map(str, twice))}; keep one of each")
    present = set(columns)
    missing = [name for name in (*policy.tasks, *policy.context) if name not in present]
    if missing:
        raise DataError(
            f"columns are missing: {', '.join(missing)}; a frame needs the policy's tasks"
            f" ({', '.join(policy.tasks)}), with predictions in [0, 1], and the"
            f" {len(policy.context)} columns that policy.context names"
        )
    spare = [name for name in written if name in present]
    if spare:
        raise DataError(f"columns {', '.join(spare)} are written here; drop or rename yours")
    if len(frame) == 0:
        raise DataError("the frame has no row; give one row per candidate")


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
    sound = (predictions >= 0.0) & (predictions <= 1.0)
    if not sound.all():
        column = int(np.flatnonzero(~sound.all(axis=0))[0])
        bad = np.flatnonzero(~sound[:, column])
        raise DataError(
            f"{tasks[column]} must be a prediction in [0, 1], got {predictions[bad[0], column]} in"
            f" row {frame.index[bad[0]]} ({len(bad)} rows are so)"
        )
    return predictions.astype(np.float32)


def _context_of(frame: "pd.DataFrame", names: tuple[str, ...], requests: _Requests) -> FloatArray:
    """What is read of each request besides its predictions, (requests, context) float64."""
    first = requests.first
    context = np.empty((len(first), len(names)))
    for column, name in enumerate(names):
        values = _numbers(frame, name)
        odd = np.flatnonzero(~np.isfinite(values))
        if len(odd):
            raise DataError(
                f"{name} must be finite, got {values[odd[0]]} in row {frame.index[odd[0]]}"
            )
        differs = np.flatnonzero(values != values[first][requests.of_row])
        if len(differs):
            label = requests.labels[requests.of_row[differs[0]]]
            raise DataError(
                f"{name} must be the same in all rows of a request; in request {label} row "
                f"{frame.index[differs[0]]} differs from the first"
            )
        context[:, column] = values[first]
    return context


def _numbers(frame: "pd.DataFrame", name: str) -> FloatArray:
    """A column as (rows,) float64, NaN where it has no value."""
    column = frame[name]
    values: NDArray[Any] = column.to_numpy()
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(f"{name} must hold numbers, got a column of type {column.dtype}")
    numbers: FloatArray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers
