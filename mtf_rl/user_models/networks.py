"""Inference in numpy for the fitted networks: user and video tables, then one hidden layer.

The first layer is a sum of parts. The user and video parts do not change between requests, so they
are computed once and looked up. Sums over features are matrix products, whose last bits depend on
the number of rows. Outputs are therefore rounded to multiples of 2^-20, far below any effect, so
that a user's responses do not depend on the batch size.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.user_models.array_records import ArrayRecord

__all__ = ["ResponseNetwork", "SessionNetwork", "Standardiser", "round_to_grid"]

GRID = float(1 << 20)
STANDARD_LIMIT = 5.0


@dataclass(frozen=True)
class Standardiser(ArrayRecord):
    """Standardises features with the mean and std of the fit, and clips them to [-5, 5]."""

    mean: FloatArray  # (features,)
    scale: FloatArray  # (features,), positive

    @classmethod
    def fit(cls, features: FloatArray) -> Self:
        """Mean and std of (rows, features); a constant feature gets scale 1."""
        scale = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(scale > 1e-6, scale, 1.0))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Standardised (rows, features)."""
        standard = (features - self.mean) / self.scale
        return np.clip(standard, -STANDARD_LIMIT, STANDARD_LIMIT)


@dataclass(frozen=True)
class SessionNetwork(ArrayRecord):
    """Outputs given the user and the session, for leaving and returning.

    hidden = relu(user part + session part + (user factors * session factors) W).

    With the products, the effect of a session feature can differ between users.
    """

    user_part: FloatArray  # (users, hidden)
    user_factors: FloatArray  # (users, factors)
    session: Standardiser
    session_weights: FloatArray  # (features, hidden)
    session_factors: FloatArray  # (features, factors)
    product_weights: FloatArray  # (factors, hidden)
    output_weights: FloatArray  # (hidden, outputs)
    output_bias: FloatArray  # (outputs,)

    def logits(self, users: IntArray, session_features: FloatArray) -> FloatArray:
        """(num_envs, outputs) from users (num_envs,) and session features (num_envs, features)."""
        session = self.session(session_features)  # (num_envs, features)
        products = self.user_factors[users] * (session @ self.session_factors)
        hidden = session @ self.session_weights  # (num_envs, hidden)
        hidden += products @ self.product_weights
        hidden += self.user_part[users]
        np.maximum(hidden, 0.0, out=hidden)
        return round_to_grid(hidden @ self.output_weights + self.output_bias)


@dataclass(frozen=True)
class ResponseNetwork(ArrayRecord):
    """Outputs for every shown video given the user, the video and the session.

    hidden = relu(user part + video part + session part + [row features, tastes, user * video] W).
    """

    user_part: FloatArray  # (users, hidden)
    user_factors: FloatArray  # (users, factors)
    video_part: FloatArray  # (videos, hidden)
    video_factors: FloatArray  # (videos, factors)
    tastes: FloatArray  # (users, tags, tastes), each user's past feedback on each tag's videos
    first_tags: IntArray  # (videos,), 0 for none
    session: Standardiser
    session_weights: FloatArray  # (features, hidden)
    row_weights: FloatArray  # (row features + tastes + factors, hidden)
    output_weights: FloatArray  # (hidden, outputs)
    output_bias: FloatArray  # (outputs,)

    def logits(
        self,
        users: IntArray,
        videos: IntArray,
        session_features: FloatArray,
        row_features: FloatArray,
        tastes: FloatArray | None = None,
    ) -> FloatArray:
        """Logits (num_envs * slate, outputs), one slate after the other.

        Args:
            users: (num_envs,).
            videos: (num_envs, slate).
            session_features: (num_envs, features).
            row_features: (num_envs, slate, row features).
            tastes: (num_envs, slate, tastes); by default those of the table.
        """
        num_envs, slate = videos.shape
        request = self.session(session_features) @ self.session_weights  # (num_envs, hidden)
        request += self.user_part[users]
        products = self.user_factors[users][:, None, :] * self.video_factors[videos]
        if tastes is None:
            tastes = self.tastes[users[:, None], self.first_tags[videos]]
        rows = np.concatenate([row_features, tastes, products], axis=2)  # (num_envs, slate, ..)
        hidden = rows.reshape(num_envs * slate, -1) @ self.row_weights  # (rows, hidden)
        hidden += self.video_part[videos.ravel()]
        hidden.reshape(num_envs, slate, -1)[...] += request[:, None, :]
        np.maximum(hidden, 0.0, out=hidden)
        return round_to_grid(hidden @ self.output_weights + self.output_bias)


def round_to_grid(values: FloatArray) -> FloatArray:
    """Round to the nearest multiple of 2^-20."""
    rounded: FloatArray = np.rint(values * GRID) / GRID
    return rounded
