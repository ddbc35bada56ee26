"""Assembles scores, users and evaluators, and checks that they share no fitted row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.core.arrays import IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.files import load_arrays, load_json, save_arrays, save_json
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, UserModel
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import (
    Dataset,
    FeatureEncoder,
    FeatureSide,
    ScoreTable,
    UserGroup,
    check_disjoint,
    user_groups,
)
from mtf_rl.data.profile_scale import ProfileScale
from mtf_rl.envs import SessionConfig, SessionDynamics, UserProfiles
from mtf_rl.user_models import FittedUserModel, World, load_world

__all__ = ["GIVEN_PREDICTIONS", "Assembly", "groups_of", "profiles_of"]

RANKED_ANSWERS = (
    "the log has too few random exposures to correct for selection by its rankers: the simulator"
    " responds as if they had selected every video, with more information than the features"
    " contain"
)
GIVEN_PREDICTIONS = (
    "Circularity cannot be checked with given predictions, because the rows that their model was"
    " fitted on are unknown. If they include rows of the simulator's fit, all gains are"
    " overestimated."
)

_GROUP_SEED = 0
# Sessions do not use the model of returns.
_SESSION_PARTS = ("leaving", "pausing")


@dataclass(frozen=True)
class Assembly:
    """The scores, videos, users and evaluators of sessions.

    Raises:
        LeakageError: if scorer and user model were fitted on a common row.
        ConfigError: if their tasks differ.
    """

    scores: ScoreTable
    catalogue: VideoCatalogue
    profiles: UserProfiles
    groups: IntArray  # (users,) of `UserGroup`
    simulator: FittedUserModel
    world: World | None  # the ground truth of a synthetic log

    def __post_init__(self) -> None:
        check_disjoint(self.scores.scorer_keys, self.simulator.row_keys)
        if self.scores.tasks != self.simulator.tasks:
            raise ConfigError(
                f"the scores are of the tasks {', '.join(self.scores.tasks.names)}, and the"
                f" simulator of {', '.join(self.simulator.tasks.names)}, or their settings differ."
                " Make both from one dataset: `python -m mtf_rl.train`."
            )

    @property
    def evaluators(self) -> dict[str, UserModel[Any]]:
        """The evaluators by name: the simulator, and the ground truth of a synthetic log."""
        evaluators: dict[str, UserModel[Any]] = {SIMULATOR: self.simulator}
        if self.world is not None:
            evaluators[GROUND_TRUTH] = self.world
        return evaluators

    @property
    def declared_parts(self) -> tuple[str, ...]:
        """Parts of the simulator that sessions use and that are declared, not fitted."""
        return tuple(part for part in self.simulator.declared_parts if part in _SESSION_PARTS)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each declared part and for each other limit of the simulator."""
        sentences = dict(
            zip(self.simulator.declared_parts, self.simulator.prior_parts, strict=True)
        )
        declared = tuple(sentences[part] for part in self.declared_parts)
        further = {
            GIVEN_PREDICTIONS: len(self.scores.scorer_keys) == 0,
            RANKED_ANSWERS: not self.simulator.responses.unranked.is_known,
        }
        return (*declared, *(sentence for sentence, holds in further.items() if holds))

    def dynamics(self, config: SessionConfig, group: UserGroup, evaluator: str) -> SessionDynamics:
        """Sessions of one group of users, answered by `evaluator`.

        Raises:
            ConfigError: if the evaluator is not available, or the group has no user.
        """
        if evaluator not in self.evaluators:
            raise ConfigError(
                f"evaluator '{evaluator}' is not available here;"
                f" available: {', '.join(self.evaluators)}"
            )
        members = np.flatnonzero(self.groups == group)
        if len(members) == 0:
            raise ConfigError(
                f"no user falls into the group '{group.name.lower()}'; use more users"
            )
        return SessionDynamics(
            scores=self.scores,
            user_model=self.evaluators[evaluator],
            catalogue=self.catalogue,
            profiles=self.profiles,
            users=members,
            config=config,
        )

    def save(self, folder: Path) -> None:
        """Write score table, catalogue, profiles and groups; evaluators are saved separately."""
        self.scores.save(folder / "score_table.npz")
        arrays = {
            "duration_seconds": self.catalogue.duration_seconds,
            "tags": self.catalogue.tags,
            "authors": self.catalogue.authors,
            "profiles": self.profiles.values,
            "groups": self.groups,
        }
        save_arrays(folder / "assembly.npz", arrays)
        scale = self.profiles.scale
        names = {
            "num_tags": self.catalogue.num_tags,
            "profiles": list(self.profiles.names),
            "profile_scale": None if scale is None else scale.to_json(),
        }
        save_json(folder / "assembly.json", names)

    @classmethod
    def load(cls, data: Path, simulator: Path) -> "Assembly":
        """Read what `save` wrote, the simulator, and the world if there is one.

        Raises:
            ArtifactError: if a file is missing or torn.
        """
        arrays = load_arrays(data / "assembly.npz")
        names = load_json(data / "assembly.json")
        return cls(
            scores=ScoreTable.load(data / "score_table.npz"),
            catalogue=VideoCatalogue(
                arrays["duration_seconds"], arrays["tags"], arrays["authors"], names["num_tags"]
            ),
            profiles=UserProfiles(
                arrays["profiles"], tuple(names["profiles"]), _scale_of(names.get("profile_scale"))
            ),
            groups=arrays["groups"],
            simulator=FittedUserModel.load(simulator),
            world=load_world(data),
        )


def profiles_of(encoder: FeatureEncoder, dataset: Dataset) -> UserProfiles:
    """User features at the split, as a production system has them: counts and feedback rates."""
    columns = encoder.layout.restrict(FeatureSide.USER).dense
    values = encoder.user_side(dataset).dense  # (users, columns)
    scale = encoder.profile_scale(dataset.tasks)
    return UserProfiles(values, tuple(column.name for column in columns), scale)


def _scale_of(record: dict[str, Any] | None) -> ProfileScale | None:
    return None if record is None else ProfileScale.of_record(record)


def groups_of(dataset: Dataset) -> IntArray:
    """Each user's group, by a hash of the id: learning, tuning or final."""
    return user_groups(dataset.users.ids, seed=_GROUP_SEED)
