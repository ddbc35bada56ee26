"""The synthetic world: users, videos and sessions with known true probabilities."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.user_models.world.config import WorldConfig
    from mtf_rl.user_models.world.experience import WorldState
    from mtf_rl.user_models.world.synthesis import SynthesisReport, load_world, synthesize
    from mtf_rl.user_models.world.world import World

__all__ = ["SynthesisReport", "World", "WorldConfig", "WorldState", "load_world", "synthesize"]

__getattr__ = lazy_names(__name__, __file__)
