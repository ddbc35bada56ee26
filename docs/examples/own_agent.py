"""An agent of your own: hill climbing over static weights.

python docs/examples/own_agent.py [FOLDER]

An agent is a frozen dataclass of settings with a method `learn`. Each field becomes a flag of
`train`; `mtf_rl.check` tries the contract. Files go to a new folder in FOLDER, by default a
temporary one.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtf_rl.agents import ConstantPolicy, LearnedPolicy, LearningTask
from mtf_rl.envs import BudgetExceededError
from mtf_rl.evaluation import roll_out


@dataclass(frozen=True)
class HillClimbing:
    """Move the best action so far by noise, and keep what earns more in the same sessions."""

    step: float = 0.3
    """Standard deviation of a move, in units of the action, above 0."""
    block: int = 16
    """Sessions of a trial, at least 1."""

    def min_requests(self) -> int:
        """The first trial, with sessions of at most 50 requests."""
        return 50 * self.block

    def learn(self, task: LearningTask) -> LearnedPolicy:
        """Try points until the budget is used; all randomness comes from the task's seed."""
        rng = np.random.default_rng(task.seed)
        best = np.zeros(task.learning.sessions.action_dim, dtype=np.float32)
        best_reward = self._reward(task, best)
        while True:
            moved = best + self.step * rng.normal(size=best.shape)
            point = np.clip(moved, -1.0, 1.0).astype(np.float32)
            try:
                reward = self._reward(task, point)
            except BudgetExceededError:
                break
            if reward > best_reward:
                best, best_reward = point, reward
                task.metrics(task.budget.used, "train/best_reward", reward)
        return LearnedPolicy(ConstantPolicy(best), None, requests_used=task.budget.used)

    def _reward(self, task: LearningTask, action: np.ndarray) -> float:
        sessions = roll_out(
            task.learning,
            ConstantPolicy(action),
            seed=task.seed,
            episodes=np.arange(self.block),
            budget=task.budget,
        )
        return float(sessions.reward.mean())


def main() -> None:
    """Check the agent, then train it beside the baselines."""
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    train = (
        "mtf_rl.train own_agent:HillClimbing --step 0.4 --preset smoke --world.users 80"
        " --world.videos 320 --requests 2200 --sessions 60 --tuning-sessions 30"
        f" --user-model.max-rows 4000 --user-model.max-epochs 1 --run-dir {folder}/run"
    )
    for command in ("mtf_rl.check own_agent:HillClimbing", train):
        words = [sys.executable, "-B", "-m", *command.split()]
        # Modules are looked for in the current folder.
        subprocess.run(words, cwd=Path(__file__).parent, check=True)
    print("2,200 requests are too few to rank methods; see the intervals. A real run: 100,000.")


if __name__ == "__main__":
    main()
