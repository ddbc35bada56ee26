"""The simulator's user model: fitted on a log, runs in numpy."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ArtifactError, ConfigError
from mtf_rl.core.files import load_arrays, load_json, save_arrays, save_json
from mtf_rl.core.history import VisibleHistory, tag_overlap
from mtf_rl.core.log_schema import LogSchema
from mtf_rl.core.protocols import SIMULATOR, UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import TaskSet
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.user_models.answer_rules import AnswerRules
from mtf_rl.user_models.array_records import ArrayRecord
from mtf_rl.user_models.play import outcome_fractions
from mtf_rl.user_models.prior import DeclaredPrior
from mtf_rl.user_models.reports import FitReport
from mtf_rl.user_models.responses import ResponseModel
from mtf_rl.user_models.sessions import (
    FittedLeaving,
    FittedPausing,
    FittedReturning,
    Leaving,
    Pausing,
    Returning,
)
from mtf_rl.user_models.traces import (
    SessionTrace,
    TraceReader,
    advance_trace,
    long_minutes,
    predicted_logits,
    row_actions,
    start_trace,
)

__all__ = ["FittedState", "FittedUserModel", "ResponsePrediction"]

FORMAT = 5
MAX_RETURN_DAYS = 60
_DOCUMENT = "user_model.json"
_ARCHIVE = "user_model.npz"


@dataclass(frozen=True)
class FittedState:
    """The state of simulated users: user indices and session traces."""

    users: IntArray  # (num_envs,)
    trace: SessionTrace


@dataclass(frozen=True)
class ResponsePrediction:
    """Predictions for a slate before its response is drawn."""

    logits: FloatArray  # (num_envs * slate, outcomes + interactions), before play
    fractions: FloatArray  # (num_envs * slate, 14), `outcome_fractions` of the logits
    trace_logits: FloatArray  # (num_envs * slate, logits), `predicted_logits`, for the trace
    overlap: FloatArray  # (num_envs, slate), `tag_overlap` of the videos


@dataclass(frozen=True)
class FittedUserModel(UserModel[FittedState]):
    """A user model fitted on a log; `evaluator` is `simulator`.

    It uses no information beyond a log. Parts that the log has too little data for are a
    `DeclaredPrior`; `prior_parts` describes them in sentences to print beside every result.
    """

    evaluator = SIMULATOR

    responses: ResponseModel
    traces: TraceReader
    leaving: Leaving
    pausing: Pausing
    returning: Returning
    hour_fractions: FloatArray  # (24,)
    catalogue: VideoCatalogue
    row_keys: NDArray[np.uint64]  # hashes of the log rows used for fitting or early stopping
    prior_parts: tuple[str, ...] = ()
    report: FitReport = field(default_factory=lambda: FitReport(()))

    @property
    def rules(self) -> AnswerRules:
        """Which feedbacks are determined by play time, from the log's tasks and scenes."""
        return self.responses.rules

    @property
    def tasks(self) -> TaskSet:
        """The tasks of the log."""
        return self.rules.tasks

    @property
    def declared_parts(self) -> tuple[str, ...]:
        """Names of the parts that use a declared prior and are not fitted."""
        return tuple(
            name for name in _SESSION_PARTS if isinstance(getattr(self, name), DeclaredPrior)
        )

    @override
    def start(self, users: IntArray, rng: EpisodeRng) -> FittedState:
        return FittedState(users, start_trace(len(users), self.rules))

    @override
    def resume(self, state: FittedState, away_seconds: FloatArray) -> FittedState:
        # The fitted model has no memory between sessions.
        return FittedState(state.users, start_trace(len(state.users), self.rules))

    @override
    def respond(
        self, state: FittedState, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, FittedState]:
        prediction = self.predict(slate, history)
        response = self.responses.draw(
            slate, prediction.logits, prediction.fractions, rng, self.catalogue
        )
        return response, self.update_state(state, slate, history, prediction, response)

    def predict(self, slate: Slate, history: VisibleHistory) -> ResponsePrediction:
        """Predict the responses to `slate`, shown after `history`."""
        overlap = tag_overlap(history, slate.videos, self.catalogue)
        duration = self.catalogue.duration_seconds[slate.videos].ravel()  # (rows,)
        logits = self.responses.logits(slate, history, overlap)
        fractions = outcome_fractions(logits, duration)
        trace_logits = predicted_logits(logits, fractions, self.rules)
        if slate.ranked is not None:
            ranked = np.repeat(slate.ranked, slate.videos.shape[1])[:, None]
            as_logged = self.responses.as_logged().logits(slate, history, overlap)
            logits = np.where(ranked, as_logged, logits)
            fractions = outcome_fractions(logits, duration)
        return ResponsePrediction(logits, fractions, trace_logits, overlap)

    def update_state(
        self,
        state: FittedState,
        slate: Slate,
        history: VisibleHistory,
        prediction: ResponsePrediction,
        response: Response,
    ) -> FittedState:
        """The state after a slate with the given `response`, drawn or logged.

        `history` is the visible history before the slate; `prediction` is `predict` of the slate.
        """
        duration = self.catalogue.duration_seconds[slate.videos].ravel()  # (rows,)
        signals = self.traces.signals(
            slate,
            prediction.trace_logits,
            row_actions(
                response.feedback.reshape(len(duration), -1),
                response.watch_seconds.ravel(),
                duration,
                prediction.overlap.ravel(),
                self.rules,
            ),
        )
        minutes = long_minutes(slate, response, self.rules)
        trace = advance_trace(state.trace, signals, minutes, history.elapsed_seconds)
        return replace(state, trace=trace)

    @override
    def leave(self, state: FittedState, history: VisibleHistory, rng: EpisodeRng) -> BoolArray:
        probability = self.leaving.leave_probability(state.users, history, state.trace)
        return np.asarray(rng.uniforms(Purpose.LEAVE, 1)[:, 0] < probability)

    @override
    def pause_seconds(
        self, state: FittedState, history: VisibleHistory, rng: EpisodeRng
    ) -> FloatArray:
        return self.pausing.pause_seconds(history, rng.uniforms(Purpose.PAUSE, 1)[:, 0])

    @override
    def return_days(self, state: FittedState, history: VisibleHistory, rng: EpisodeRng) -> IntArray:
        chances = self.returning.return_probabilities(state.users, history, state.trace)
        next_day, later = chances.T
        first, second = rng.uniforms(Purpose.RETURN, 2).T
        further = 1 + np.floor(np.log(second) / np.log1p(-later))
        days = np.where(first < next_day, 1, 1 + further)
        return np.minimum(days, MAX_RETURN_DAYS).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the model to `folder` as one JSON and one .npz file."""
        arrays: dict[str, NDArray[Any]] = {
            "hour_fractions": self.hour_fractions,
            "row_keys": self.row_keys,
            "duration_seconds": self.catalogue.duration_seconds,
            "tags": self.catalogue.tags,
            "authors": self.catalogue.authors,
        }
        arrays |= self.responses.to_arrays("responses")
        arrays |= self.traces.to_arrays("traces")
        document: dict[str, Any] = {
            "format": FORMAT,
            "log": self.rules.schema.to_json(),
            "num_tags": self.catalogue.num_tags,
            "prior_parts": list(self.prior_parts),
            "report": self.report.to_json(),
            "priors": {},
        }
        for name in _SESSION_PARTS:
            part = getattr(self, name)
            if isinstance(part, DeclaredPrior):
                document["priors"][name] = part.to_json()
            elif isinstance(part, ArrayRecord):
                arrays |= part.to_arrays(name)
            else:
                raise ArtifactError(
                    f"{name} of type {type(part).__name__} cannot be saved. Use a `DeclaredPrior`"
                    " or a dataclass that derives from `ArrayRecord`."
                )
        save_arrays(folder / _ARCHIVE, arrays)
        save_json(folder / _DOCUMENT, document)

    @classmethod
    def load(cls, folder: Path) -> "FittedUserModel":
        """Read a model that `save` wrote.

        Raises:
            ArtifactError: if a file is missing, corrupt, or of another version.
        """
        document = load_json(folder / _DOCUMENT)
        arrays = load_arrays(folder / _ARCHIVE)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ArtifactError(
                f"{folder / _DOCUMENT} must have format {FORMAT}. Fit the simulator again:"
                " `python -m mtf_rl.train`."
            )
        try:
            return _assemble(document, arrays)
        except (KeyError, TypeError, ConfigError) as error:
            raise ArtifactError(
                f"{folder} is not a complete user model ({type(error).__name__}: {error})."
                " Fit the simulator again: `python -m mtf_rl.train`."
            ) from error


_SESSION_PARTS: dict[str, type[ArrayRecord]] = {
    "leaving": FittedLeaving,
    "pausing": FittedPausing,
    "returning": FittedReturning,
}


def _assemble(document: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FittedUserModel:
    priors = document["priors"]
    rules = AnswerRules(LogSchema.from_json(document["log"]))
    parts: dict[str, Any] = {
        name: DeclaredPrior(**priors[name]) if name in priors else kind.from_arrays(arrays, name)
        for name, kind in _SESSION_PARTS.items()
    }
    return FittedUserModel(
        responses=ResponseModel.from_arrays(arrays, "responses", rules=rules),
        traces=TraceReader.from_arrays(arrays, "traces", rules=rules),
        **parts,
        hour_fractions=arrays["hour_fractions"],
        catalogue=VideoCatalogue(
            duration_seconds=arrays["duration_seconds"],
            tags=arrays["tags"],
            authors=arrays["authors"],
            num_tags=int(document["num_tags"]),
        ),
        row_keys=arrays["row_keys"],
        prior_parts=tuple(document["prior_parts"]),
        report=FitReport.from_json(document["report"]),
    )
