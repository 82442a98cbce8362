"""Two processes over gloo teach what one does: same losses, same weights, whatever each has to do in a step."""

import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from llara.model import Llara, SequenceConfig

Build = Callable[..., Llara]
SCRIPT = Path(__file__).with_name("one_rank.py")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def start(rank: int, port: int, *arguments: Path) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def outputs(tiny_llara: Build, tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Path]":
    """What one process alone leaves, and what each of two that work together does."""
    folder = tmp_path_factory.mktemp("ranks")
    for tuning in ("lora", "full"):
        llara = tiny_llara(
            tuning=tuning, part_vectors=True, recommender_prior=True, sequence=SequenceConfig(head=True, width=8)
        )
        llara.save_pretrained(folder / "models" / tuning)
    port = free_port()
    processes = [start(rank, port, folder / "models", folder / name) for rank, name in enumerate(("main", "other"))]
    try:
        errors = [process.communicate(timeout=90)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    runpy.run_path(str(SCRIPT))["main"](folder / "models", folder / "alone")
    return {name: folder / name for name in ("alone", "main", "other")}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("objective", ["answer", "listwise", "sum", "sequence", "sequence then listwise"])
def test_two_processes_log_the_losses_of_one_and_end_with_its_weights(
    outputs: "dict[str, Path]", tuning: str, objective: str
) -> None:
    name = f"{tuning}-{objective}"
    losses = {who: json.loads((folder / f"{name}.json").read_text()) for who, folder in outputs.items()}
    assert len(losses["alone"]) == 6 * len(objective.split(" then "))
    assert losses["main"] == losses["other"]
    np.testing.assert_allclose(losses["main"], losses["alone"], rtol=0, atol=1e-5)
    weights = {who: load_file(folder / f"{name}.safetensors") for who, folder in outputs.items()}
    for weight, alone in weights["alone"].items():
        torch.testing.assert_close(weights["main"][weight], alone, rtol=0, atol=1e-5, msg=weight)
        assert torch.equal(weights["main"][weight], weights["other"][weight]), weight


@pytest.mark.timeout(120)
def test_a_loss_that_is_no_number_in_one_process_stops_both_at_the_same_step(outputs: "dict[str, Path]") -> None:
    main, other = (json.loads((outputs[who] / "diverged.json").read_text()) for who in ("main", "other"))
    assert main == other
    assert main[0] == "the loss is nan"
