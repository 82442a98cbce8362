"""Two processes that train one run: both compute, one writes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llara.train import read_metrics

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _together(config: Path, *options: str) -> "list[subprocess.Popen[str]]":
    port = str(_free_port())
    return [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("two_ranks.py")), str(config), *options],
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "ACCELERATE_USE_CPU": "true",
                "CUDA_VISIBLE_DEVICES": "",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


@pytest.mark.slow
def test_two_processes_make_one_run_and_agree_on_it(dataset: "World") -> None:
    processes = _together(dataset.config("ranks"))
    outcomes = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outcomes
    found: list[Any] = [json.loads(out.splitlines()[-1]) for out, _ in outcomes]
    assert found[0] == found[1]
    run = dataset.folder / "ranks"
    records = read_metrics(run)
    assert [record["step"] for record in records] == list(range(len(records)))
    assert (run / "report.html").is_file()
    assert not list(dataset.folder.glob("ranks.partial*"))


@pytest.mark.slow
def test_where_the_main_process_is_refused_the_other_ends_too(dataset: "World") -> None:
    taken = dataset.folder / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    processes = _together(dataset.config("taken"))
    outcomes = [process.communicate(timeout=240) for process in processes]
    assert all(process.returncode != 0 for process in processes)
    assert "exists already" in outcomes[0][1]
    assert {path.name for path in taken.iterdir()} == {"thesis.txt"}
