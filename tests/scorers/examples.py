"""Small rows with a known structure, for the tests of the scorers."""

import numpy as np
from scipy.special import expit

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import CategoricalField, DenseColumn, FeatureLayout, FeatureRows, FeatureSide
from mtf_rl.scorers import (
    AITMConfig,
    CGCConfig,
    ESCM2DRConfig,
    ESCM2IPSConfig,
    ESMMConfig,
    LabelledRows,
    MMoEConfig,
    ModelConfig,
    MultiDRConfig,
    MultiIPWConfig,
    OMoEConfig,
    PLEConfig,
    ScorerFitConfig,
    SharedBottomConfig,
    SingleTaskConfig,
)

LAYOUT = FeatureLayout(
    categorical=(
        CategoricalField("user", 12, FeatureSide.USER),
        CategoricalField("video", 9, FeatureSide.VIDEO),
        CategoricalField("tab", 4, FeatureSide.PAIR),
    ),
    dense=(DenseColumn("age", FeatureSide.VIDEO), DenseColumn("rate", FeatureSide.PAIR)),
)

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

QUICK = ScorerFitConfig(
    batch_rows=64, learning_rate=0.01, embedding_learning_rate=0.01, max_epochs=2
)


def random_features(rows: int, seed: int = 0) -> FeatureRows:
    """Any features of `LAYOUT`, missing and unseen values among them."""
    rng = np.random.default_rng(seed)
    sizes = [field.size for field in LAYOUT.categorical]
    return FeatureRows(
        categorical=rng.integers(0, sizes, size=(rows, len(sizes))),
        dense=rng.normal(size=(rows, len(LAYOUT.dense))).astype(np.float32),
    )


def example_rows(rows: int, seed: int = 0) -> LabelledRows:
    """Rows whose every task is more likely the larger the second dense column; hate less.

    A long view only happens after a click.
    """
    features = random_features(rows, seed)
    rng = np.random.default_rng(seed + 1000)
    offsets = np.linspace(0.5, -2.0, len(KUAIRAND_TASKS))
    signs = np.ones(len(KUAIRAND_TASKS))
    signs[6] = -1.0
    truth = expit(offsets + 2.0 * signs * features.dense[:, 1:2])  # (rows, tasks)
    targets = (rng.random((rows, len(KUAIRAND_TASKS))) < truth).astype(np.float32)
    targets[:, 1] *= targets[:, 0]  # no long view without a click
    targets[:, 7] = truth[:, 7]  # watch is a share
    return LabelledRows(
        features=features,
        targets=targets,
        mask=np.ones((rows, len(KUAIRAND_TASKS)), dtype=np.bool_),
        users=features.categorical[:, 0],
        keys=np.arange(rows, dtype=np.uint64) + np.uint64(seed * 1_000_000),
    )
