"""The account of the sessions that a learner plays."""

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from typing_extensions import override

from mtf_rl.agents.policies import MlpPolicy
from mtf_rl.core.tasks import FEEDBACKS

__all__ = ["SessionAccount"]


class SessionAccount(BaseCallback):
    """Logs what sessions are like while a learner acts, and keeps its untrained actor."""

    def __init__(self, untrained: MlpPolicy | None = None) -> None:
        super().__init__()
        self.untrained = untrained

    @override
    def _on_step(self) -> bool:
        infos = _infos(self.training_env)
        dynamics = self.training_env.get_attr("dynamics")[0]
        for column, name in enumerate(dynamics.sessions.formula.parameter_names):
            weight = float(infos["parameters"][:, column].mean())
            self.logger.record_mean(f"weights/{name}", weight)
        shown = infos["videos"].shape[1]
        for feedback in FEEDBACKS:
            rate = float(infos[feedback.name].mean()) / shown
            self.logger.record_mean(f"rate/{feedback.name}", rate)
        self.logger.record_mean(
            "session/watch_seconds_per_request", float(infos["watch_seconds"].mean())
        )
        for episode in (info["episode"] for info in self.locals["infos"] if "episode" in info):
            self.logger.record_mean("session/reward", episode["r"])
            self.logger.record_mean("session/depth", episode["l"])
        return True


def _infos(env: Any) -> dict[str, Any]:
    infos: dict[str, Any] = env.last_infos
    return infos
