"""Predictions of a model of your own, in place of a scorer.

python docs/examples/own_predictions.py [FOLDER]

The model here knows one thing: how often each video got each feedback. It stands for any that can
write a Parquet file. All files go to a new folder in FOLDER, by default a temporary
one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import labels, read_kuairand, scorer_half
from mtf_rl.user_models import WorldConfig, synthesize

SEED = 0  # of the run, by which it halves the sessions
POOL = 200
SMOOTHING = 20.0  # impressions at the mean rate that every video is thought to have had before


def video_rates(logs: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of users, ids of videos with the most shown first, and these videos' rates per task."""
    data = read_kuairand(logs)
    shown = data.impressions
    # The last day tests, and the simulator learns from the other half of the sessions: a model that
    # has seen either would be evaluated on its own training rows.
    rows = np.flatnonzero((shown.days < shown.days.max()) & scorer_half(shown, seed=SEED))
    targets, _ = labels(shown, rows, data.tasks)  # (rows, tasks)
    videos = shown.videos[rows]
    exposures = np.bincount(videos, minlength=data.num_videos)
    positives = np.stack(
        [np.bincount(videos, column, minlength=data.num_videos) for column in targets.T], axis=1
    )
    rates = (positives + SMOOTHING * targets.mean(axis=0)) / (exposures[:, None] + SMOOTHING)
    most_shown = np.argsort(-exposures, kind="stable")
    return data.users.ids, data.videos.ids[most_shown], rates[most_shown]


def main() -> None:
    """Write logs, learn rates, write predictions, train on them."""
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    logs, predictions = folder / "logs", folder / "predictions.parquet"
    synthesize(WorldConfig(users=80, videos=320, days=2), logs)
    users, videos, rates = video_rates(logs)
    columns = {
        "user_id": np.repeat(users, POOL),
        "video_id": np.tile(videos[:POOL], len(users)),
        **{
            name: np.tile(rates[:POOL, k], len(users))
            for k, name in enumerate(KUAIRAND_TASKS.names)
        },
    }
    pq.write_table(pa.table(columns), predictions)
    command = (
        f"-m mtf_rl.train --preset smoke --data {logs} --predictions {predictions} --pool {POOL}"
        f" --seed {SEED} --run-dir {folder / 'run'} --no-myopic-baseline"
        " --requests 2200 --sessions 60"
        " --tuning-sessions 30 --user-model.max-rows 4000 --user-model.max-epochs 1"
    )
    subprocess.run([sys.executable, *command.split()], check=True)
    print("2,200 requests are too few to rank methods; see the intervals. A real run: 100,000.")


if __name__ == "__main__":
    main()
