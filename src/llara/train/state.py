"""Training state on disk: trained weights, optimizer moments and counters, as safetensors and JSON."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llara.errors import CheckpointError
from llara.model import Llara

WEIGHTS, OPTIMIZER, COUNTERS = "weights.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class Counters:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        best_step: Step after which the best validation was measured; -1 before the first.
        best_score: That validation's HR@1; -1 before the first.
        fails: Validations since then that were no better.
        fingerprint: Of settings and data; a run resumes only with the same.
    """

    step: int = 0
    best_step: int = -1
    best_score: float = -1.0
    fails: int = 0
    fingerprint: str = ""


def trained_weights(llara: Llara) -> dict[str, Tensor]:
    """Copies of everything that training changes, on the CPU."""
    return {name: parameter.detach().cpu().clone() for name, parameter in llara.trainable().items()}


def load_weights(llara: Llara, weights: dict[str, Tensor]) -> None:
    """Put weights from `trained_weights` back.

    Raises:
        CheckpointError: If names or shapes differ.
    """
    own = llara.trainable()
    if set(own) != set(weights):
        odd = sorted(set(own) ^ set(weights))
        raise CheckpointError(f"checkpoint and model differ in {len(odd)} weights, such as '{odd[0]}'. Same config?")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != weights[name].shape:
                found, expected = tuple(weights[name].shape), tuple(parameter.shape)
                raise CheckpointError(
                    f"checkpoint weight '{name}' has shape {found}, the model's {expected}. Same config?"
                )
            parameter.copy_(weights[name])


def save_state(folder: Path, llara: Llara, optimizer: torch.optim.Optimizer, counters: Counters) -> None:
    """Write a checkpoint folder in one rename: an interruption leaves the previous one."""
    fresh = folder.with_name(folder.name + ".writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(trained_weights(llara), str(fresh / WEIGHTS))
    moments = {
        f"{place}.{name}": value.detach().cpu().clone().contiguous()
        for place, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    save_file(moments, str(fresh / OPTIMIZER))
    (fresh / COUNTERS).write_text(json.dumps(asdict(counters)), encoding="utf-8")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def find_state(folder: Path) -> Path | None:
    """The newest complete checkpoint: `folder`, or the one before if the process died between two renames."""
    for candidate in (folder, folder.with_name(folder.name + ".old")):
        if (candidate / COUNTERS).is_file():
            return candidate
    return None


def load_state(folder: Path, llara: Llara, optimizer: torch.optim.Optimizer) -> Counters:
    """Restore weights and optimizer; returns the counters.

    Raises:
        CheckpointError: If the checkpoint is damaged or belongs to another model.
    """
    try:
        counters = Counters(**json.loads((folder / COUNTERS).read_text(encoding="utf-8")))
        weights = load_file(str(folder / WEIGHTS))
        moments = load_file(str(folder / OPTIMIZER))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}. Train again without --resume.") from error
    load_weights(llara, weights)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        place, name = key.split(".", 1)
        state.setdefault(int(place), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return counters
