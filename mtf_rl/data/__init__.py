"""Reading of logs and conversion to arrays: sessions, splits, features, score table."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names
from mtf_rl.data.labels import base_rates, labels

if TYPE_CHECKING:
    from mtf_rl.data.accounts import FileAccount, RowAccount
    from mtf_rl.data.batch import BatchDataset
    from mtf_rl.data.dataset import Dataset, DurationFills
    from mtf_rl.data.description import Description, describe, single_request_fraction
    from mtf_rl.data.feature_layout import (
        UNSEEN_CODE,
        CategoricalField,
        DenseColumn,
        FeatureLayout,
        FeatureRows,
        FeatureSide,
    )
    from mtf_rl.data.feature_tables import CategoricalColumn, FeatureTable, NumericColumn
    from mtf_rl.data.features import FeatureEncoder
    from mtf_rl.data.impressions import Impressions
    from mtf_rl.data.logs import read_log
    from mtf_rl.data.predictions import (
        GivenPredictions,
        prediction_columns,
        read_predictions,
        write_predictions,
    )
    from mtf_rl.data.prepared import read_prepared, tasks_of_log, write_prepared
    from mtf_rl.data.reading import read_kuairand
    from mtf_rl.data.retrieval import retrieve_pools
    from mtf_rl.data.schema import FileKind
    from mtf_rl.data.score_table import ScoreTable, usual_contexts
    from mtf_rl.data.sources import SourceFile
    from mtf_rl.data.splits import (
        Split,
        UserGroup,
        check_disjoint,
        scorer_half,
        split_by_time,
        user_groups,
    )
    from mtf_rl.data.time_plan import REAL_PLAN, SYNTHETIC_PLAN, TimePlan
    from mtf_rl.data.transitions import Transitions

__all__ = [
    "REAL_PLAN",
    "SYNTHETIC_PLAN",
    "UNSEEN_CODE",
    "BatchDataset",
    "CategoricalColumn",
    "CategoricalField",
    "Dataset",
    "DenseColumn",
    "Description",
    "DurationFills",
    "FeatureEncoder",
    "FeatureLayout",
    "FeatureRows",
    "FeatureSide",
    "FeatureTable",
    "FileAccount",
    "FileKind",
    "GivenPredictions",
    "Impressions",
    "NumericColumn",
    "RowAccount",
    "ScoreTable",
    "SourceFile",
    "Split",
    "TimePlan",
    "Transitions",
    "UserGroup",
    "base_rates",
    "check_disjoint",
    "describe",
    "labels",
    "prediction_columns",
    "read_kuairand",
    "read_log",
    "read_predictions",
    "read_prepared",
    "retrieve_pools",
    "scorer_half",
    "single_request_fraction",
    "split_by_time",
    "tasks_of_log",
    "user_groups",
    "usual_contexts",
    "write_predictions",
    "write_prepared",
]

__getattr__ = lazy_names(__name__, __file__)
