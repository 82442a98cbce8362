"""Training state on disk: trained weights, optimizer moments and counters, as safetensors and JSON."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llara.errors import CheckpointError
from llara.model import Llara

LAST = "last"
WEIGHTS, OPTIMIZER, COUNTERS = "weights.safetensors", "optimizer.safetensors", "state.json"
CHOICES = "choices.json"
"""What a trial on this machine chose when the run began, see `Llara.choices`."""


@dataclass(frozen=True)
class Counters:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        best_step: Step after which the best validation was measured; -1 before the first.
        best_score: That validation's HR@1; -1 before the first.
        fails: Validations since then that were no better.
        fingerprint: Of settings and data; a run resumes only with the same.
        rows_at_once: Rows of a forward pass, as they were chosen when the run began; 0: not chosen yet.
    """

    step: int = 0
    best_step: int = -1
    best_score: float = -1.0
    fails: int = 0
    fingerprint: str = ""
    rows_at_once: int = 0


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


def save_best(checkpoints: Path, weights: dict[str, Tensor], counters: Counters) -> None:
    """Keep the weights of the best validation under a name of their own, so that the previous best survives.

    Raises:
        CheckpointError: If the disk refuses.
    """
    path = _best_path(checkpoints, counters)
    fresh = path.with_name(path.name + ".writing")
    with _explain_refusal(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, str(fresh))
        os.replace(fresh, path)


def load_best(checkpoints: Path, counters: Counters) -> dict[str, Tensor]:
    """The weights that `save_best` kept for these counters.

    Raises:
        CheckpointError: If they are missing or damaged.
    """
    return _read_tensors(_best_path(checkpoints, counters))


def remove_outdated_best(checkpoints: Path, counters: Counters) -> None:
    """Remove all best weights but the current; call it once the counters are on the disk."""
    current = _best_path(checkpoints, counters)
    for path in current.parent.glob("step-*.safetensors"):
        if path != current:
            path.unlink()


def _best_path(checkpoints: Path, counters: Counters) -> Path:
    return checkpoints / "best" / f"step-{counters.best_step}.safetensors"


def save_state(folder: Path, llara: Llara, optimizer: torch.optim.Optimizer, counters: Counters) -> None:
    """Write a checkpoint folder by renaming: an interruption at any point leaves it or the previous one.

    Raises:
        CheckpointError: If the disk refuses; the previous checkpoint is untouched.
    """
    fresh = folder.with_name(folder.name + ".writing")
    moments = {
        f"{place}.{name}": value.detach().cpu().clone().contiguous()
        for place, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    with _explain_refusal(folder):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(trained_weights(llara), str(fresh / WEIGHTS))
        save_file(moments, str(fresh / OPTIMIZER))
        (fresh / CHOICES).write_text(json.dumps(llara.choices), encoding="utf-8")
        (fresh / COUNTERS).write_text(json.dumps(asdict(counters)), encoding="utf-8")
        _swap_in(fresh, folder)


def _swap_in(fresh: Path, folder: Path) -> None:
    old = folder.with_name(folder.name + ".old")
    if folder.exists():
        # Only now: without `folder`, `old` is the only complete checkpoint.
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _explain_refusal(path: Path) -> Iterator[None]:
    """Turn errors of the disk into one that says what survives."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write checkpoint {path}: {error}. The previous one is untouched. "
            "Free space, then run the same command with --resume."
        ) from error


def find_state(folder: Path) -> Path | None:
    """The newest complete checkpoint: `folder`, or the one before if the process died between two renames."""
    for candidate in (folder, folder.with_name(folder.name + ".old")):
        if (candidate / COUNTERS).is_file():
            return candidate
    return None


def read_counters(folder: Path) -> Counters:
    """The counters of a checkpoint.

    Raises:
        CheckpointError: If they are missing or damaged.
    """
    try:
        return Counters(**json.loads((folder / COUNTERS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder / COUNTERS, error) from error


def load_state(folder: Path, llara: Llara, optimizer: torch.optim.Optimizer) -> None:
    """Restore weights, optimizer and what was chosen by trial.

    Raises:
        CheckpointError: If the checkpoint is damaged or belongs to another model.
    """
    if (folder / CHOICES).is_file():  # checkpoints written before have none
        llara.take_choices(_read_choices(folder / CHOICES))
    moments = _read_tensors(folder / OPTIMIZER)
    load_weights(llara, _read_tensors(folder / WEIGHTS))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        place, _, name = key.partition(".")
        fits = place.isdigit() and int(place) < len(parameters)
        if not fits or (name != "step" and value.shape != parameters[int(place)].shape):
            raise _damaged(folder / OPTIMIZER, f"'{key}' fits none of the {len(parameters)} trained weights")
        state.setdefault(int(place), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _read_choices(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise _damaged(path, f"'{name}' holds NaN or infinity")
    return tensors


def _damaged(path: Path, reason: object) -> CheckpointError:
    return CheckpointError(f"checkpoint file {path} is missing or damaged: {reason}. Train again without --resume.")
