"""A callback that logs a learner's sessions and writes checkpoints."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from typing_extensions import override

from mtf_rl.agents.checkpoint import Checkpoint, play_again, restore, save_checkpoint
from mtf_rl.agents.learning import CheckpointPlan
from mtf_rl.agents.policies import MlpPolicy

__all__ = ["SessionLogger"]


class SessionLogger(BaseCallback):
    """Logs statistics of sessions, keeps the untrained actor and writes checkpoints.

    Args:
        checkpoints: where and how often to write checkpoints; None for no checkpoints.
        untrained: the actor before its first update; None if it is set after the warm-up.
        rollouts: checkpoints are written only after a multiple of this number of rollouts.
    """

    def __init__(
        self,
        checkpoints: CheckpointPlan | None,
        *,
        untrained: MlpPolicy | None = None,
        rollouts: int = 1,
    ) -> None:
        super().__init__()
        self.untrained = untrained
        self._checkpoints = checkpoints
        self._tape: list[NDArray[np.float32]] = []  # each (num_envs, action_dim)
        self._rollouts, self._every = 0, rollouts
        self._saved_at = time.monotonic()

    def go_on_from(self, checkpoint: Checkpoint, model: Any) -> None:
        """Restore a fresh model from a checkpoint.

        Raises:
            ArtifactError: if the checkpoint is of another learner.
        """
        play_again(model, checkpoint, lambda: self.notice_warmup(model))
        restore(model, checkpoint)
        self._tape = list(checkpoint.tape)

    def notice_warmup(self, model: Any) -> None:
        """Called after each batched step, before its transitions are stored."""

    @override
    def _on_rollout_start(self) -> None:
        plan = self._checkpoints
        due = self._rollouts % self._every == 0
        self._rollouts += 1
        if plan is None or not due or not self._tape:
            return
        if time.monotonic() - self._saved_at >= plan.seconds:
            save_checkpoint(plan.path, self.model, np.stack(self._tape), mark=plan.mark())
            self._saved_at = time.monotonic()

    @override
    def _on_step(self) -> bool:
        self.notice_warmup(self.model)
        if self._checkpoints is not None:
            # SB3's names: actions stored by off-policy learners, actions taken by on-policy ones.
            taken = self.locals.get("buffer_actions", self.locals.get("clipped_actions"))
            self._tape.append(np.array(taken, dtype=np.float32))
        self._log_step()
        return True

    def _log_step(self) -> None:
        infos = _infos(self.training_env)
        dynamics = self.training_env.get_attr("dynamics")[0]
        for column, name in enumerate(dynamics.sessions.formula.parameter_names):
            weight = float(infos["parameters"][:, column].mean())
            self.logger.record_mean(f"weights/{name}", weight)
        shown = infos["videos"].shape[1]
        for name in dynamics.sessions.tasks.feedback_names:
            rate = float(infos[name].mean()) / shown
            self.logger.record_mean(f"rate/{name}", rate)
        self.logger.record_mean(
            "session/watch_seconds_per_request", float(infos["watch_seconds"].mean())
        )
        for episode in (info["episode"] for info in self.locals["infos"] if "episode" in info):
            self.logger.record_mean("session/reward", episode["r"])
            self.logger.record_mean("session/depth", episode["l"])


def _infos(env: Any) -> dict[str, Any]:
    infos: dict[str, Any] = env.last_infos
    return infos
