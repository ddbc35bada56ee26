"""The registered contestants of a comparison."""

from mtf_rl.agents import AGENTS
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, LEARNER


def test_settings_are_the_agents_and_myopic_baselines_have_gamma_0() -> None:
    for contestant in CONTESTANTS.values():
        settings = contestant.settings()
        assert type(settings) is AGENTS[contestant.agent].config
        if contestant.myopic_baseline_of is not None:
            assert settings.gamma == 0.0
            assert CONTESTANTS[contestant.myopic_baseline_of].kind == LEARNER


def test_tuned_once_selects_searches_for_static_weights() -> None:
    once = {name for name, contestant in CONTESTANTS.items() if contestant.tuned_once}
    assert once == {
        "grid", "random_search", "cma_es", "tpe", "gp_bo", "gp_ucb", "nsga2", "cem", "lspi_static"
    }  # fmt: skip
