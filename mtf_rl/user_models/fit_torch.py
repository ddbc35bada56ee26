"""Torch parts for fitting user models: user or video layer, optimisation loop, tensors."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.user_models.fit_config import UserModelFitConfig
from mtf_rl.user_models.fit_log import SideInputs

__all__ = [
    "MIN_RATE",
    "PredictorBlock",
    "float_tensor",
    "minimise",
    "reproducible_torch",
    "tensors",
    "to_numpy",
]

# A rate of 0 has no logit.
MIN_RATE = 1e-5
EVALUATION_BATCH = 1 << 14
MIN_STEPS = 64
MIN_BATCH = 64


class PredictorBlock(nn.Module):
    """Maps the categories and numbers of users (or videos) to their part of the hidden layer."""

    def __init__(self, inputs: SideInputs, embedding: int, outputs: int) -> None:
        super().__init__()
        offsets = np.cumsum([0, *inputs.sizes[:-1]])
        self.offsets: Tensor
        self.register_buffer("offsets", torch.as_tensor(offsets))
        self.embedding = nn.Embedding(sum(inputs.sizes), embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.linear = nn.Linear(embedding * len(inputs.sizes) + inputs.dense.shape[1], outputs)

    @override
    def forward(self, categorical: Tensor, dense: Tensor) -> Tensor:
        """(rows, outputs) from categories (rows, fields) and numbers (rows, columns)."""
        embedded = self.embedding(categorical + self.offsets)  # (rows, fields, embedding)
        outputs: Tensor = self.linear(torch.cat([embedded.flatten(1), dense], dim=1))
        return outputs  # (rows, outputs)

    def table(self, inputs: SideInputs) -> FloatArray:
        """The outputs for every user (or video), as an array."""
        with torch.no_grad():
            return to_numpy(self(*tensors(inputs)))


def minimise(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    train: IntArray,
    held_out: IntArray,
    config: UserModelFitConfig,
    *,
    batch_size: int,
    weight_decay: float,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Minimise `loss(row numbers)` with AdamW and restore the state with the best held-out loss.

    Batches are smaller than `batch_size` if an epoch would otherwise have fewer than 64 batches.
    """
    batch_size = int(np.clip(len(train) // MIN_STEPS, MIN_BATCH, batch_size))
    steps = -(-len(train) // batch_size) * config.max_epochs
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1.0, end_factor=0.1, total_iters=steps
    )
    shuffle = torch.Generator().manual_seed(config.seed)
    numbers = torch.as_tensor(train)
    best, best_state, waited = _mean_loss(loss, held_out), _copy_state(module), 0
    for epoch in range(config.max_epochs):
        shuffled = numbers[torch.randperm(len(numbers), generator=shuffle, device="cpu")]
        for batch, index in enumerate(torch.split(shuffled, batch_size)):
            optimizer.zero_grad()
            loss(index).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            on_progress((epoch + batch * batch_size / len(shuffled)) / config.max_epochs)
        held_out_loss = _mean_loss(loss, held_out)
        on_progress((epoch + 1) / config.max_epochs)
        if held_out_loss < best:
            best, best_state, waited = held_out_loss, _copy_state(module), 0
        else:
            waited += 1
            if waited >= config.patience:
                break
    module.load_state_dict(best_state)


def _mean_loss(loss: Callable[[Tensor], Tensor], rows: IntArray) -> float:
    with torch.no_grad():
        total = 0.0
        for index in torch.split(torch.as_tensor(rows), EVALUATION_BATCH):
            total += float(loss(index)) * len(index)
    return total / len(rows)


def _copy_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _default_device(device: str) -> AbstractContextManager[Any]:
    """Context that sets the default device; `cpu` needs none, which saves time at each call."""
    return nullcontext() if device == "cpu" else torch.device(device)


@contextmanager
def reproducible_torch(seed: int, device: str = "cpu") -> Iterator[None]:
    """Use one thread, a seeded generator and a default device inside the block; restore after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), _default_device(device):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def tensors(inputs: SideInputs) -> tuple[Tensor, Tensor]:
    """Tensors of categories (rows, fields) and numbers (rows, columns)."""
    return torch.as_tensor(inputs.categorical), float_tensor(inputs.dense)


def float_tensor(array: NDArray[Any]) -> Tensor:
    """A float32 tensor of any array."""
    return torch.as_tensor(np.asarray(array, dtype=np.float32))


def to_numpy(tensor: Tensor) -> FloatArray:
    """A float64 array on the CPU, without gradient."""
    values: FloatArray = tensor.detach().double().cpu().numpy()
    return values
