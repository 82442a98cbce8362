"""Load a dataset folder, split it and build all examples; one JSON object with counts and seconds on stdout.

python -m benchmarks.load_and_split FOLDER --method users
"""

import argparse
import json
import time
from pathlib import Path
from typing import get_args

from llara.data import SplitConfig, SplitMethod, load_dataset, split_dataset


def main() -> None:
    """Run the stage on the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", choices=get_args(SplitMethod), default="users")
    options = parser.parse_args()
    start = time.perf_counter()
    dataset = load_dataset(options.folder)
    loaded = time.perf_counter()
    split = split_dataset(dataset, SplitConfig(method=options.method))
    done = time.perf_counter()
    report = {
        "load_seconds": loaded - start,
        "split_seconds": done - loaded,
        "num_users": dataset.log.num_users,
        "num_interactions": len(dataset.log.timestamps),
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
