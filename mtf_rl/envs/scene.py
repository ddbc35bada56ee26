"""Rendering of a request as text or as an image."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.envs.dynamics import Outcome, SessionDynamics, SessionState
from mtf_rl.fusion import best_candidates

__all__ = ["Scene"]

_WIDTH_INCHES, _HEIGHT_INCHES, _DPI = 11.0, 4.2, 80
_INK, _ACCENT, _QUIET = "#1f2933", "#0b7285", "#adb5bd"
_REASONS = {
    "": "The user stays.",
    "left": "The user left.",
    "max_requests": "The session was truncated at max_requests; the user would have stayed.",
    "lost": "The user is lost: away for more than lost_after_days.",
    "max_sessions": "The episode was truncated after its last session.",
}


@dataclass(frozen=True)
class Scene:
    """The latest request of an episode: predictions, weights, slate, feedback, end reason.

    It shows what a production system observes and the users' feedback, not the user model's state.
    """

    sessions: SessionDynamics
    state: SessionState  # one row: the session before the request
    outcome: Outcome | None = None  # None before the first request
    end_reason: str = ""
    rewards: tuple[float, ...] = ()  # one per request of the episode so far

    def after(self, state: SessionState, outcome: Outcome, end_reason: str) -> "Scene":
        """The scene of the next request, which started at `state`."""
        rewards = (*self.rewards, float(outcome.reward[0]))
        return replace(self, state=state, outcome=outcome, end_reason=end_reason, rewards=rewards)

    def text(self) -> str:
        """The request as text."""
        head = self._title()
        if self.outcome is None:
            return f"{head}\n  no request yet"
        names = self.sessions.formula.parameter_names
        parameters = zip(names, self.outcome.parameters[0], strict=True)
        weights = "  ".join(f"{name} {value:+.2f}" for name, value in parameters)
        return "\n".join([head, f"  weights: {weights}", *self._slate_lines(), f"  {self._end()}"])

    def picture(self) -> NDArray[np.uint8]:
        """The request as an RGB image, (height, width, 3)."""
        # Imported here, so that importing this module stays fast.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(f"{self._title()}. {self._end()}", fontsize=10, x=0.01, ha="left")
        weights, slate, rewards = figure.subplots(1, 3, width_ratios=[2, 5, 3])
        self._draw_weights(weights)
        self._draw_slate(slate)
        rewards.plot(np.arange(1, len(self.rewards) + 1), self.rewards, ".-", color=_INK)
        rewards.set_title("reward of each request", fontsize=9, loc="left")
        rewards.set_xlabel("request", fontsize=8)
        for panel in (weights, slate, rewards):
            panel.tick_params(labelsize=8)
            panel.spines[["top", "right"]].set_visible(False)
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _title(self) -> str:
        history = self.state.history
        hour = float(history.hours[0])
        return (
            f"Episode {self.state.episodes[0]}, user {self.state.users[0]}, request"
            f" {int(history.requests[0]) + 1} of the session, {int(hour):02d}:"
            f"{int(hour % 1 * 60):02d}, {history.elapsed_seconds[0] / 60:.1f} min in,"
            f" {history.watch_seconds[0] / 60:.1f} min watched"
        )

    def _end(self) -> str:
        if self.outcome is None:
            return "No request yet."
        days = getattr(self.outcome, "return_days", None)
        reason = _REASONS[self.end_reason]
        if days is not None and days[0] and not self.end_reason:
            reason = f"The session ended; the user returns in {days[0]} day(s)."
        return f"Reward {self.rewards[-1]:+.2f}. {reason}"

    def _shown(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """Candidate indices, fused scores and predictions (slate, tasks) of the slate's videos."""
        assert self.outcome is not None
        fused = self.sessions.fused(self.state, self.outcome.parameters)
        best = best_candidates(fused, self.sessions.config.slate)[0]
        pool = self.sessions.scores.scores[self.state.users[0]]
        return best, fused[0, best], pool[self.state.candidates[0, best]]

    def _slate_lines(self) -> list[str]:
        assert self.outcome is not None
        tasks = self.sessions.formula.tasks
        _, fused, predictions = self._shown()
        pool = self.sessions.scores.scores[self.state.users[0]]
        mean = pool[self.state.candidates[0]].mean(axis=0)
        head = "".join(f"{name[:9]:>10}" for name in tasks.names)
        lines = [
            f"  {'position':>5} {'video':>7} {'length':>7} |{head} |{'score':>9} | feedback",
            f"  {'mean of candidates':>21} |{_numbers(mean[tasks.columns])} |{'':>9} |",
        ]
        for position, video in enumerate(self.outcome.slate.videos[0]):
            length = float(self.sessions.catalogue.duration_seconds[video])
            lines.append(
                f"  {position + 1:>5} {video:>7} {length:>6.0f}s"
                f" |{_numbers(predictions[position, tasks.columns])} |{fused[position]:>9.3f}"
                f" | {self._feedback(position)}"
            )
        return lines

    def _feedback(self, position: int) -> str:
        assert self.outcome is not None
        response = self.outcome.response
        names = self.sessions.tasks.feedback_names
        feedbacks = [
            name if value == 1 else f"{value:g} {name}"
            for name, value in zip(names, response.feedback[0, position], strict=True)
            if value > 0
        ]
        return " ".join([f"{response.watch_seconds[0, position]:.1f}s", *feedbacks])

    def _draw_weights(self, panel: Any) -> None:
        names = self.sessions.formula.parameter_names
        values = np.zeros(len(names)) if self.outcome is None else self.outcome.parameters[0]
        panel.barh(range(len(names)), values, color=_ACCENT)
        panel.set_yticks(range(len(names)), names)
        panel.invert_yaxis()
        panel.axvline(0.0, color=_QUIET, linewidth=1.0)
        panel.set_title("fusion parameters", fontsize=9, loc="left")

    def _draw_slate(self, panel: Any) -> None:
        """Draw each shown video's rank among the candidates by task, and its feedback."""
        panel.set_title("shown: fraction of candidates predicted lower", fontsize=9, loc="left")
        names = self.sessions.tasks.names
        panel.set_xticks(range(len(names)), names, rotation=30, ha="right")
        if self.outcome is None:
            return
        _, _, predictions = self._shown()
        pool = self.sessions.scores.scores[self.state.users[0]]
        candidates = pool[self.state.candidates[0]]  # (candidates, tasks)
        fractions = (candidates[None] < predictions[:, None]).mean(axis=1)  # (slate, tasks)
        panel.imshow(fractions, cmap="BuGn", vmin=0.0, vmax=1.0, aspect="auto")
        panel.set_yticks(
            range(len(fractions)), [self._feedback(position) for position in range(len(fractions))]
        )


def _numbers(values: FloatArray) -> str:
    return "".join(f"{value:>10.4f}" for value in values)
