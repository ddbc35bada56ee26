"""The torch device that a command's fits and learners run on."""

from typing import Literal

from mtf_rl.core.errors import ConfigError

__all__ = ["DeviceName", "chosen_device"]

DeviceName = Literal["auto", "cpu", "cuda"]


def chosen_device(name: DeviceName) -> str:
    """`cpu` or `cuda`; `auto` is cuda where torch finds such a GPU.

    Raises:
        ConfigError: if cuda is asked for and torch finds none.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            f"--device cuda: torch {torch.__version__} finds no CUDA GPU on this machine. Use"
            " --device cpu, or --device auto for a GPU only where there is one."
        )
    return "cuda" if available and name != "cpu" else "cpu"
