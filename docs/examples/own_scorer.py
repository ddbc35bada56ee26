"""A scorer of your own: logistic regression with squares of the dense features.

python docs/examples/own_scorer.py [FOLDER]

A scorer is a frozen dataclass of settings with a method `build`, and a `ScorerModel` that it
builds. Files go to a new folder in FOLDER, by default a temporary one.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mtf_rl.core.tasks import TaskSet
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers import Outputs, ScorerModel


class Quadratic(ScorerModel):
    """Logits that are linear in embeddings, dense columns and their squares."""

    def __init__(self, layout: FeatureLayout, tasks: TaskSet, dim: int) -> None:
        super().__init__()
        sizes = [field.size for field in layout.categorical]
        self.tables = nn.ModuleList(nn.Embedding(size, dim, sparse=True) for size in sizes)
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.01)
        self.linear = nn.Linear(dim * len(sizes) + 2 * len(layout.dense), len(tasks))

    def outputs(self, categorical: Tensor, dense: Tensor) -> Outputs:
        """Logits (batch, tasks) of codes (batch, fields) and numbers (batch, columns)."""
        vectors = [table(categorical[:, k]) for k, table in enumerate(self.tables)]
        return Outputs(self.linear(torch.cat([*vectors, dense, dense**2], dim=1)))


@dataclass(frozen=True)
class QuadraticConfig:
    """Sizes of the quadratic scorer."""

    dim: int = 4
    """Width of each embedding, at least 1."""

    def build(self, layout: FeatureLayout, tasks: TaskSet) -> Quadratic:
        """A freshly initialised model."""
        return Quadratic(layout, tasks, self.dim)


def main() -> None:
    """Check the scorer, then fit it on a small synthetic log and print its quality."""
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    pretrain = (
        "mtf_rl.pretrain own_scorer:QuadraticConfig --world.users 80 --world.videos 320"
        f" --world.days 2 --rows 20000 --fit.max-epochs 1 --run-dir {folder}/run"
    )
    for command in ("mtf_rl.check own_scorer:QuadraticConfig", pretrain):
        words = [sys.executable, "-B", "-m", *command.split()]
        # Modules are looked for in the current folder.
        subprocess.run(words, cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()
