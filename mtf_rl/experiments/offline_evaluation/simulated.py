"""Rolls out policies and the log's own actions in the simulator of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtf_rl.agents import LoggedActions, collect
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import SIMULATOR, Policy
from mtf_rl.data import UserGroup
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import roll_out
from mtf_rl.evaluation.off_policy import LoggedSessions, SessionModel, estimate_sum, view_of
from mtf_rl.evaluation.policy_actions import policy_actions
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.collection import refuse_another_run
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation.config import OfflineConfig
from mtf_rl.experiments.run_folder import open_run_folder

__all__ = ["Simulated", "play"]

# Seeds of the simulated sessions; they differ from those of learners and of final evaluation.
_SIMULATED_SEED, _REPLAYED_SEED = 3_000_003, 4_000_003


@dataclass(frozen=True)
class Simulated:
    """A simulator, and the log's actions replayed in it."""

    dynamics: SessionDynamics
    replayed: LoggedSessions
    model: SessionModel

    @classmethod
    def of(
        cls, run: Path, config: OfflineConfig, logged: LoggedSessions, terminal: Terminal
    ) -> "Simulated":
        """Load a run, and replay the log's actions in its simulator.

        Raises:
            ArtifactError: if a file of the run is missing or torn.
            ConfigError: if the log does not fit the run.
        """
        folder = open_run_folder(run)
        assembly = Assembly.load(folder.data, folder.simulator)
        session = settings_of_run(folder).run.session
        dynamics = assembly.dynamics(session, UserGroup.LEARN, SIMULATOR)
        batch = logged.batch
        refuse_another_run(config.data, batch, dynamics)
        behaviour = LoggedActions(
            batch.actions, batch.log_densities, np.flatnonzero(batch.requests == 0)
        )
        with terminal.progress("requests of the log replayed in the simulator", len(logged)) as bar:
            replayed = collect(
                dynamics,
                behaviour,
                requests=len(logged),
                seed=_REPLAYED_SEED + config.seed,
                progress=bar,
            )
        sessions = LoggedSessions(replayed)
        return cls(dynamics, sessions, SessionModel(sessions, config.model, view_of(batch)))

    def direct(self, policy: Policy) -> FloatArray:
        """D' of `PolicyReplay`: contribution of each replayed session to the `dm` estimate."""
        batch = self.replayed.batch
        actions = policy_actions(policy, batch.observations, action_dim=batch.actions.shape[1])
        return estimate_sum("dm", self.model.direct([actions])).influence


def play(dynamics: SessionDynamics, policy: Policy, *, sessions: int, seed: int = 0) -> FloatArray:
    """Session reward of a policy in the simulator, (sessions,) float64.

    Session i has the same random numbers for every policy.
    """
    played = roll_out(dynamics, policy, seed=_SIMULATED_SEED + seed, episodes=np.arange(sessions))
    return played.reward.astype(np.float64)
