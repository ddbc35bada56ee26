"""Small policies with random weights."""

import numpy as np

from mtf_rl.agents import FusionPolicy, FusionSetting, GenerativePolicy, Mlp, MlpPolicy, SavedPolicy
from mtf_rl.envs import SessionDynamics


def random_mlp(
    widths: tuple[int, ...], *, seed: int = 0, hidden: str = "relu", output: str = "tanh"
) -> Mlp:
    """A network with these widths, inputs first, in float32 as learners have."""
    generator = np.random.default_rng(seed)
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    return Mlp(
        weights=tuple(
            (generator.normal(size=pair) / np.sqrt(pair[1])).astype(np.float32) for pair in pairs
        ),
        biases=tuple(generator.normal(0.0, 0.3, size=out).astype(np.float32) for out, _ in pairs),
        hidden=hidden,
        output=output,
    )


def mlp_policy(obs_dim: int, action_dim: int, *, seed: int = 0) -> MlpPolicy:
    generator = np.random.default_rng(seed + 1)
    return MlpPolicy(
        mean=generator.normal(size=obs_dim).astype(np.float32),
        scale=generator.uniform(0.5, 2.0, size=obs_dim).astype(np.float32),
        network=random_mlp((obs_dim, 8, 8, action_dim), seed=seed),
    )


def generative_policy(
    obs_dim: int,
    action_dim: int,
    *,
    samples: int = 5,
    action_flexibility: float = 0.05,
    seed: int = 0,
) -> GenerativePolicy:
    """A generative policy with two-dimensional latents."""
    generator = np.random.default_rng(seed + 1)
    both = obs_dim + action_dim
    return GenerativePolicy(
        mean=generator.normal(size=obs_dim).astype(np.float32),
        scale=generator.uniform(0.5, 2.0, size=obs_dim).astype(np.float32),
        decoder=random_mlp((obs_dim + 2, 8, action_dim), seed=seed),
        perturbation=random_mlp((both, 8, action_dim), seed=seed + 2),
        critic=random_mlp((both, 8, 1), seed=seed + 3, output="identity"),
        action_flexibility=action_flexibility,
        latents=np.clip(generator.normal(size=(samples, 2)), -0.5, 0.5).astype(np.float32),
    )


def fusion_policy(dynamics: SessionDynamics, policy: SavedPolicy) -> FusionPolicy:
    return FusionPolicy(policy, FusionSetting.of(dynamics))
