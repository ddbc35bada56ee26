"""Panels of sessions with planted weights, made up."""

import numpy as np

from mtf_rl.evaluation import SessionPanel, SessionSummary
from mtf_rl.evaluation.panel import CONTROLS

# Next-session minutes per click, long view, like, follow, comment, forward, hate, watch minute.
PLANTED = (0.0, 0.2, 1.5, 0.0, 0.8, 0.0, -2.0, 0.4)


def planted_panel(seed: int, *, users: int = 400, rows: int = 14) -> SessionPanel:
    """Counts tied to the user's level, and minutes that carry over by the planted weights."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=users)
    means = np.array([6.0, 4.0, 1.0, 0.3, 0.5, 0.3, 0.3])
    minutes = 10.0 + 3.0 * level
    inputs, outcome = np.empty((users, rows, 8)), np.empty((users, rows))
    controls = np.empty((users, rows, len(CONTROLS)))
    for row in range(-20, rows):
        counts = rng.poisson(means * np.exp(0.4 * level)[:, None])
        now = np.column_stack([counts, minutes])
        hour = rng.uniform(0.0, 2.0 * np.pi, users)
        harmonics = [np.sin(hour), np.cos(hour), np.sin(2 * hour), np.cos(2 * hour)]
        shown = counts[:, 0] + rng.poisson(8.0, users)
        minutes = 4.0 + 3.0 * level + now @ PLANTED + 0.5 * harmonics[0] + rng.normal(size=users)
        if row >= 0:
            inputs[:, row], outcome[:, row] = now, minutes
            controls[:, row] = np.column_stack([shown, np.full(users, row), *harmonics])
    return SessionPanel(
        users=np.repeat(np.arange(users), rows),
        inputs=inputs.reshape(-1, 8),
        controls=controls.reshape(-1, len(CONTROLS)),
        outcome=outcome.ravel(),
        account=SessionSummary(users * rows, users * rows, {}),
    )
