"""One of the processes that train a run together over gloo, for test_two_processes.py.

python two_ranks.py CONFIG [--resume]
"""

import json
import sys
from pathlib import Path

import torch

from llara.run.config import load_config
from llara.run.pipeline import train_run


def main() -> None:
    """Train and say what came out."""
    torch.set_num_threads(1)
    finished = train_run(load_config(Path(sys.argv[1])), resume="--resume" in sys.argv)
    hits = [result.hits for result in finished.evaluated.report.results]
    print(json.dumps({"hits": hits, "best_step": finished.training.best_step}))


if __name__ == "__main__":
    main()
