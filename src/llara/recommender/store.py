"""Saving and loading recommenders: weights as safetensors, everything else as JSON, nothing pickled."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llara.data.files import new_folder
from llara.errors import CheckpointError, ConfigError
from llara.recommender.base import Recommender
from llara.recommender.known import RECOMMENDERS

WEIGHTS_FILE = "recommender.safetensors"
MANIFEST_FILE = "recommender.json"
_FORMAT = 1
_REMEDY = "Copy the whole folder from where it was saved, or fit the recommender again."


def save_recommender(recommender: Recommender, folder: Path) -> None:
    """Write `recommender.safetensors` and `recommender.json` into a folder of their own.

    Args:
        recommender: Any of this package's.
        folder: Is created. A recommender saved there before is replaced, but only after the new one is complete.

    Raises:
        ConfigError: If the folder holds something other than a recommender.
        DataError: If the disk is full or the place cannot be written to.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in recommender.state_dict().items()}
    manifest = {
        "format": _FORMAT,
        "name": recommender.name,
        "num_items": recommender.num_items,
        "width": recommender.width,
        "settings": recommender.settings(),
        "shapes": {name: list(tensor.shape) for name, tensor in weights.items()},
    }
    with new_folder(folder, force=True, marker=MANIFEST_FILE) as partial:
        save_file(weights, partial / WEIGHTS_FILE)
        (partial / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def load_recommender(folder: Path) -> Recommender:
    """Open a saved recommender, on the CPU and in evaluation mode.

    Raises:
        CheckpointError: If a file is missing, corrupt, of a newer version, or the two do not fit each other.
    """
    manifest = _read_manifest(folder / MANIFEST_FILE)
    recommender = _empty_recommender(manifest, folder / MANIFEST_FILE)
    weights = _read_weights(folder / WEIGHTS_FILE)
    _refuse_misfit(weights, recommender.state_dict(), folder / WEIGHTS_FILE)
    recommender.load_state_dict(weights)
    return recommender.eval()


def _read_manifest(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; a saved recommender was expected in {path.parent}. {_REMEDY}")
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}). {_REMEDY}") from error
    if not isinstance(manifest, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(manifest).__name__}. {_REMEDY}")
    missing = [key for key in ("format", "name", "num_items", "width", "settings") if key not in manifest]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}. {_REMEDY}")
    if manifest["format"] != _FORMAT:
        raise CheckpointError(
            f"{path} has format {manifest['format']!r}, this version of llara reads {_FORMAT}. Update llara."
        )
    return manifest


def _empty_recommender(manifest: Mapping[str, object], path: Path) -> Recommender:
    """The recommender that the manifest describes, its weights yet to be loaded."""
    name, num_items, width, settings = (manifest[key] for key in ("name", "num_items", "width", "settings"))
    if not isinstance(name, str) or name not in RECOMMENDERS:
        raise CheckpointError(
            f"{path}: unknown recommender {name!r}, known are {', '.join(RECOMMENDERS)}. "
            "If it is one of your own, import the module that registers it first; else update llara."
        )
    for key, value in (("num_items", num_items), ("width", width)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{path}: {key} must be an integer >= 1, found {value!r}. {_REMEDY}")
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: settings must be an object, found {settings!r}. {_REMEDY}")
    assert isinstance(num_items, int)
    assert isinstance(width, int)
    try:
        return RECOMMENDERS[name].restore(settings, num_items=num_items, width=width)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: settings do not describe a {name} ({error}). {_REMEDY}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist. {_REMEDY}")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}). {_REMEDY}") from error


def _refuse_misfit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    for name in sorted(weights.keys() | expected.keys()):
        found = list(weights[name].shape) if name in weights else "nothing"
        wanted = list(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise CheckpointError(
                f"{path}: {name} has shape {found}, {MANIFEST_FILE} beside it asks for {wanted}. "
                f"The two files are of different recommenders. {_REMEDY}"
            )
        if not torch.isfinite(weights[name]).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity, so nothing could be ranked. {_REMEDY}")
