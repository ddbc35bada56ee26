"""A model from your own Stable-Baselines3 loop: from PPO to a policy folder.

python docs/examples/own_sb3_loop.py [FOLDER]

The policy folder serves, ranks and is evaluated as that of any agent of this project. It goes to a
new folder in FOLDER, by default a temporary one.
"""

import sys
import tempfile

import gymnasium
import numpy as np
from stable_baselines3 import PPO

import mtf_rl  # noqa: F401  (registers the environments)
from mtf_rl.agents import ConstantPolicy, load_policy, save_sb3_policy
from mtf_rl.evaluation import paired_difference, roll_out


def main() -> None:
    """Train, save, load, and compare with uniform weights on the same sessions."""
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    env = gymnasium.make("mtf_rl/FusionSession-v0")
    model = PPO("MlpPolicy", env, n_steps=256, learning_rate=1e-3, gamma=0.95, seed=0)
    model.learn(total_timesteps=1024)
    save_sb3_policy(model, folder)

    policy = load_policy(folder)
    dynamics = env.unwrapped.dynamics
    uniform = ConstantPolicy(dynamics.action_map.to_action(dynamics.formula.tasks.signs))
    sessions, reference = (
        roll_out(dynamics, each, seed=1, episodes=np.arange(100)) for each in (policy, uniform)
    )
    gain = paired_difference(sessions, reference)
    print(
        f"PPO over uniform weights: {gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] (95 % CI)"
        " session reward.\n1,024 requests teach PPO next to nothing: this shows that the parts fit,"
        " not what PPO is worth. Uniform weights are strong. Give PPO 100,000 requests or more."
    )


if __name__ == "__main__":
    main()
