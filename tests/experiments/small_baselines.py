"""Searches that fit into the budgets of these tests."""

from mtf_rl.agents import CmaEsConfig, GpBoConfig, GridConfig, RandomSearchConfig
from mtf_rl.experiments.config import Baselines

__all__ = ["SMALL_BASELINES"]

SMALL_BASELINES = Baselines(
    grid=GridConfig(sessions_per_trial=4, max_blocks=2, finalists=2),
    random_search=RandomSearchConfig(sessions_per_trial=4, max_blocks=2, finalists=2),
    cma_es=CmaEsConfig(sessions_per_trial=4, max_blocks=2, finalists=2),
    gp_bo=GpBoConfig(sessions_per_trial=4, max_blocks=2, finalists=2, initial=4),
)
