"""The torch device that a command's fits and learners run on."""

from typing import Literal

from mtf_rl.core.errors import ConfigError

__all__ = ["DeviceName", "chosen_device"]

DeviceName = Literal["auto", "cpu", "cuda"]


def chosen_device(name: DeviceName) -> str:
    """The torch device, `cpu` or `cuda`; `auto` is cuda if torch finds a GPU.

    Raises:
        ConfigError: if cuda is requested and torch finds no GPU.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            f"--device cuda: torch {torch.__version__} finds no CUDA GPU on this machine. Use"
            " --device cpu, or --device auto to use a GPU only if there is one."
        )
    return "cuda" if available and name != "cpu" else "cpu"
