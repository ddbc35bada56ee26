"""mtf_rl: learn and evaluate multi-task fusion weights for feed ranking.

Importing the package registers its Gymnasium environments; it imports no torch.
"""

import gymnasium

from mtf_rl.core.plugins import allow_extensions

__all__ = ["allow_extensions"]

__version__ = "0.1.0"

gymnasium.register(
    id="mtf_rl/FusionSession-v0",
    entry_point="mtf_rl.experiments.environments:make_session_env",
    vector_entry_point="mtf_rl.experiments.environments:make_session_vector_env",
)
gymnasium.register(
    id="mtf_rl/FusionRetention-v0",
    entry_point="mtf_rl.experiments.environments:make_retention_env",
    vector_entry_point="mtf_rl.experiments.environments:make_retention_vector_env",
)
