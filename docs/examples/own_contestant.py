"""A contestant of your own in a comparison: an agent with settings that differ from its defaults.

python docs/examples/own_contestant.py

`compare RUN --contestants uniform lspi own_contestant:PATIENT` lets it take part.
"""

import subprocess
import sys
from pathlib import Path

from mtf_rl.experiments.comparison import Contestant

PATIENT = Contestant("td3", "learner", {"gamma": 0.99, "hidden": (128, 128)})


def main() -> None:
    """Check the contestant."""
    words = [sys.executable, "-B", "-m", "mtf_rl.check", "own_contestant:PATIENT"]
    subprocess.run(words, cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()
