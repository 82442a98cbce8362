"""A backbone's files, read so that nothing is missing, nothing is left over, and nothing of theirs is run."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from llara.errors import CheckpointError
from llara.model.gguf import loadable

NOT_LOADED = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
"""What the libraries raise for files that they cannot use."""
_ANEW = "Save or copy the whole folder again."


def check_backbone_folder(path: str) -> None:
    """Refuse a local folder that cannot be a backbone before anything heavy starts.

    Raises:
        CheckpointError: If `path` looks like a folder and is missing or incomplete, or its weights are elsewhere.
    """
    folder = Path(path)
    if not folder.exists():
        if path.startswith((".", "/", "~")) or path.count("/") > 1:
            raise CheckpointError(f"backbone folder '{path}' does not exist. Correct backbone.path.")
        return
    needed = {
        "config.json": ["config.json"],
        "tokenizer files": ["tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json"],
        "*.safetensors weights": ["*.safetensors"],
    }
    for what, patterns in needed.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise CheckpointError(
                f"backbone folder '{path}' has no {what}. Save model and tokenizer there with `save_pretrained`."
            )
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"backbone folder '{path}' holds an adapter (adapter_config.json) beside the weights. Merge it into them "
            "(peft: `merge_and_unload`) and save the model anew, or remove its files."
        )
    for index in sorted(folder.glob("*.index.json")):
        _check_index(index)
    for file in sorted(folder.glob("*.safetensors")):
        _refuse_link_out(file)


def _check_index(path: Path) -> None:
    """Refuse an index of weights that names anything but files of its own folder."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        odd = sorted({str(name) for name in names if not isinstance(name, str) or Path(name).name != name})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of weights: {error!r}. {_ANEW}") from error
    if odd:
        raise CheckpointError(f"{path} names '{odd[0]}'; weights must be plain file names in the same folder. {_ANEW}")
    missing = sorted({name for name in names if not (path.parent / name).is_file()})
    if missing:
        raise CheckpointError(f"{path} names {missing[0]}, which is not in the folder. {_ANEW}")


def _refuse_link_out(file: Path) -> None:
    """Links may only lead to the blobs of the hub's own cache, of which a snapshot is made."""
    folder = file.parent.resolve()
    allowed = [folder, *([folder.parent.parent / "blobs"] if folder.parent.name == "snapshots" else [])]
    target = file.resolve()
    if not any(target.is_relative_to(place) for place in allowed):
        raise CheckpointError(f"{file} is a link to {target}, outside of its folder. Put the file itself there.")


def read_backbone(path: str, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:  # noqa: ANN401
    """Weights and tokenizer of a folder, .gguf file or hub name, complete and finite; code beside them is never run.

    Args:
        path: As `backbone.path`.
        options: For `from_pretrained`: dtype and quantization.

    Raises:
        CheckpointError: If they do not load as a causal language model, naming the tensor where it is one.
    """
    path = loadable(path)
    check_backbone_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        _refuse_foreign_code(path, config)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        loaded = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except NOT_LOADED as error:
        raise CheckpointError(
            f"backbone '{path}' did not load as a causal language model: {_reason(error)}. "
            "Expected config.json, tokenizer files and *.safetensors, in a folder or under a hub name."
        ) from error
    model, info = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)
    _refuse_misfit(path, info)
    refuse_not_finite(model.state_dict(), path, files=Path(path))
    return model, tokenizer


def _reason(error: BaseException) -> str:
    text = str(error).rstrip(". \n") or type(error).__name__
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code of its own, which llara never runs; choose an architecture that transformers knows"
    return text


def _refuse_foreign_code(path: str, config: object) -> None:
    """Attention by a hub repository's kernel is code too."""
    attention = getattr(config, "_attn_implementation", None)
    names = attention.values() if isinstance(attention, dict) else [attention]
    foreign = [name for name in names if isinstance(name, str) and "/" in name]
    if foreign:
        raise CheckpointError(
            f"backbone '{path}': config.json asks for attention by '{foreign[0]}', code from a hub, which llara never "
            "runs. Remove `attn_implementation` from config.json."
        )


def _refuse_misfit(path: str, info: Mapping[str, Any]) -> None:
    """Refuse weights that are not exactly those that the architecture asks for; tied ones count as there."""
    for name, found, expected in sorted(info["mismatched_keys"]):
        raise CheckpointError(
            f"backbone '{path}': {file_of(Path(path), name)} has {list(found)} for '{name}', config.json asks for "
            f"{list(expected)}. They are of different models. {_ANEW}"
        )
    for what, key in (("lacks", "missing_keys"), ("has a tensor that no part of the model takes:", "unexpected_keys")):
        names = sorted(info[key])
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            where = file_of(Path(path), names[0])
            raise CheckpointError(f"backbone '{path}': {where} {what} '{names[0]}'{more}. {_ANEW}")
    if info["error_msgs"]:
        raise CheckpointError(f"backbone '{path}' did not load: {info['error_msgs'][0]}. {_ANEW}")


def refuse_not_finite(tensors: Mapping[str, Tensor], what: str, *, files: Path) -> None:
    """Refuse NaN and infinity, which would make every score NaN.

    Args:
        tensors: By name.
        what: Whose they are, for the message.
        files: Folder or file that they come from.

    Raises:
        CheckpointError: Naming the tensor and the file.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{what}: '{name}' in {file_of(files, name)} holds NaN or infinity, so nothing could be scored. {_ANEW}"
            )


def file_of(place: Path, tensor: str) -> str:
    """The file in a folder that holds a tensor, or all that may."""
    if not place.is_dir():
        return place.name
    files = sorted(place.glob("*.safetensors"))
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as opened:
                if tensor in opened.keys():  # noqa: SIM118 - no mapping
                    return file.name
        except (OSError, SafetensorError):
            continue
    return ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")


def refuse_other_names(found: Iterable[str], expected: Iterable[str], file: Path) -> None:
    """Refuse a file whose tensors are not exactly those that the model asks for.

    Raises:
        CheckpointError: Naming the first tensor that is missing or left over.
    """
    has, asked = set(found), set(expected)
    if asked - has:
        raise CheckpointError(f"{file} lacks '{min(asked - has)}'. {_ANEW}")
    if has - asked:
        raise CheckpointError(f"{file} has a tensor that no part of the model takes: '{min(has - asked)}'. {_ANEW}")


def check_adapter(model: nn.Module, file: Path) -> None:
    """Make sure that an adapter's file held exactly what was loaded from it, and only numbers.

    Raises:
        CheckpointError: Naming the tensor.
    """
    from peft import get_peft_model_state_dict  # noqa: PLC0415

    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    with safe_open(str(file), framework="pt") as opened:
        names = list(opened.keys())
    refuse_other_names(names, own, file)
    refuse_not_finite(own, str(file.parent), files=file)
