"""How long `--help` and a mistyped flag take, in imports of gymnasium.

    python benchmarks/help_time.py

The bar is 4 imports: a reader of the help waits for parsing, not for torch.
"""

import subprocess
import sys
import time

COMMANDS = {
    "train --help": ["-m", "mtf_rl.train", "--help"],
    "train --seeed 1": ["-m", "mtf_rl.train", "--seeed", "1"],
    "compare --help": ["-m", "mtf_rl.compare", "--help"],
    "ope --help": ["-m", "mtf_rl.ope", "--help"],
    "pretrain --help": ["-m", "mtf_rl.pretrain", "--help"],
}
REPEATS = 7
BAR = 4.0


def seconds(arguments: list[str]) -> float:
    """The shortest of some runs of the interpreter."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    gymnasium = seconds(["-c", "import gymnasium"])
    print(f"import gymnasium: {gymnasium:.2f} s")
    for name, arguments in COMMANDS.items():
        taken = seconds(arguments)
        print(f"{name}: {taken:.2f} s, {taken / gymnasium:.1f} imports (bar: {BAR:g})")


if __name__ == "__main__":
    main()
