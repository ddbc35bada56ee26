"""Small configurations of every scorer, and the example rows of the scorer contract."""

from mtf_rl.experiments.contracts.scorers import (
    LAYOUT,
    QUICK,
    example_rows,
    random_features,
)
from mtf_rl.scorers import (
    AITMConfig,
    CGCConfig,
    ESCM2DRConfig,
    ESCM2IPSConfig,
    ESMMConfig,
    MMoEConfig,
    ModelConfig,
    MultiDRConfig,
    MultiIPWConfig,
    OMoEConfig,
    PLEConfig,
    SharedBottomConfig,
    SingleTaskConfig,
)

__all__ = ["LAYOUT", "QUICK", "SMALL", "example_rows", "random_features"]

# Every registered scorer at a size that fits in milliseconds.
SMALL: dict[str, ModelConfig] = {
    "mmoe": MMoEConfig(embedding_dim=4, tower_widths=(8,), experts=3, expert_widths=(16, 8)),
    "ple": PLEConfig(embedding_dim=4, tower_widths=(8,), levels=2, expert_widths=(16, 8)),
    "cgc": CGCConfig(embedding_dim=4, tower_widths=(8,), expert_widths=(16, 8)),
    "omoe": OMoEConfig(embedding_dim=4, tower_widths=(8,), experts=3, expert_widths=(16, 8)),
    "shared_bottom": SharedBottomConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(24, 16)),
    "single_task": SingleTaskConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(16, 8)),
    "esmm": ESMMConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(24, 16)),
    "escm2_ips": ESCM2IPSConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(24, 16)),
    "escm2_dr": ESCM2DRConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(24, 16)),
    "multi_ipw": MultiIPWConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(24, 16)),
    "multi_dr": MultiDRConfig(embedding_dim=4, tower_widths=(8,), trunk_widths=(24, 16)),
    "aitm": AITMConfig(embedding_dim=4, tower_widths=(8,), bottom_widths=(16, 8)),
}
