"""Small synthetic folders in KuaiRand's layout."""

from pathlib import Path

import numpy as np

from mtf_rl.data import Dataset, read_kuairand
from mtf_rl.data.schema import LOG_COLUMNS, USER_COLUMNS, VIDEO_COLUMNS

LOG_NAMES = [column.name for column in LOG_COLUMNS]
# 2022-04-25 00:00 at UTC+8.
MIDNIGHT_MS = 1_650_816_000_000
DAY_MS = 86_400_000

REAL_FOLDER = Path(__file__).parents[3] / "shared" / "data" / "kuairand" / "pure"


def log_row(**changes: object) -> str:
    values: dict[str, object] = dict.fromkeys(LOG_NAMES, 0)
    values |= {"date": 20220425, "time_ms": MIDNIGHT_MS, "duration_ms": 60_000, "tab": 1}
    return ",".join(str(value) for value in (values | changes).values())


def log_text(*rows: str) -> str:
    return "\n".join([",".join(LOG_NAMES), *rows]) + "\n"


def user_row(user_id: int, **changes: object) -> str:
    values: dict[str, object] = {column.name: 1 for column in USER_COLUMNS}
    values |= {"user_id": user_id, "user_active_degree": "full_active"}
    values |= {"follow_user_num_range": '"(10,50]"', "follow_user_num": 10 * user_id}
    return ",".join(str(value) for value in (values | changes).values())


def user_text(*rows: str) -> str:
    return "\n".join([",".join(column.name for column in USER_COLUMNS), *rows]) + "\n"


def video_row(video_id: int, **changes: object) -> str:
    values: dict[str, object] = {
        "video_id": video_id,
        "author_id": video_id // 2,
        "video_type": "NORMAL",
        "upload_type": "Web",
        "music_type": "9.0",
        "video_duration": 1000.0 * (video_id + 5),
        "upload_dt": "2022-04-20",
        "tag": video_id % 3,
    }
    return ",".join(str(value) for value in (values | changes).values())


def video_text(*rows: str) -> str:
    return "\n".join([",".join(column.name for column in VIDEO_COLUMNS), *rows]) + "\n"


def write_log(folder: Path, *rows: str, name: str = "log_standard_a.csv") -> Path:
    path = folder / name
    path.write_text(log_text(*rows))
    return path


def random_log_rows(rows: int, seed: int, *, users: int = 12, videos: int = 20) -> list[str]:
    """Distinct rows over three days; some requests have several rows."""
    rng = np.random.default_rng(seed)
    times_ms = MIDNIGHT_MS + rng.integers(0, 3 * 144, rows) * 600_000
    return [
        _random_row(rng, number, int(time_ms), users, videos)
        for number, time_ms in enumerate(times_ms)
    ]


def _random_row(
    rng: np.random.Generator, number: int, time_ms: int, users: int, videos: int
) -> str:
    flags = ("is_click", "long_view", "is_like", "is_follow", "is_comment", "is_forward", "is_hate")
    return log_row(
        user_id=rng.integers(users),
        video_id=rng.integers(videos),
        time_ms=time_ms,
        play_time_ms=number * 37 % 150_000,
        duration_ms=rng.integers(1, 100_000),
        tab=rng.integers(3),
        is_rand=int(rng.random() < 0.1),
        **{name: int(rng.random() < 0.3) for name in flags},
    )


def random_dataset(folder: Path, *, rows: int = 400, seed: int = 0) -> Dataset:
    """A log of 12 users and 20 videos; one user and one video have features but no log rows."""
    write_log(folder, *random_log_rows(rows, seed))
    (folder / "user_features_a.csv").write_text(user_text(*(user_row(u) for u in range(1, 14))))
    (folder / "video_features_basic_a.csv").write_text(
        video_text(*(video_row(v) for v in range(1, 22)))
    )
    return read_kuairand(folder)
