"""Backbones in .gguf files (llama.cpp's, LM Studio's, Ollama's): de-quantized once into a folder that is kept.

The folder lies in the user's cache under the content's hash, so that a file may move and is still converted once.
"""

import io
import json
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import filelock
import numpy as np
import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from llara.data.files import new_folder, sha256_of
from llara.errors import CheckpointError, DataError
from llara.model.gguf_header import Header, TensorPlace, is_gguf, read_header

logger = logging.getLogger(__name__)

ORIGIN_FILE = "origin.json"
"""Says what a folder of weights was made from; only folders that hold it are replaced."""
CACHE_VARIABLE = "LLARA_CACHE"
_RECIPE = 1
"""Part of a cached folder's name; raised when files are converted otherwise than before."""
_F32, _F16 = 0, 1
_DIGITS_APART = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
_LLAMA3_FACTORS = (8.0, 32.0)
_LLAMA3_CONTEXT, _LLAMA3_LOW, _LLAMA3_HIGH = 8192, 1.0, 4.0


def cache_folder() -> Path:
    """Where converted models are kept: $LLARA_CACHE, else `llara` in the user's cache folder."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llara"


def loadable(path: str) -> str:
    """What to load for a `backbone.path`: the path itself, or for a .gguf file the folder that it was converted to.

    Args:
        path: Folder, hub name, or .gguf file (known by its first bytes, whatever its name).

    Raises:
        CheckpointError: If it is a file of another kind, or a .gguf file that cannot be converted.
        DataError: If the cache cannot be written to.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        if path.lower().endswith(".gguf"):
            raise CheckpointError(f"backbone file '{path}' does not exist. Correct backbone.path.")
        return path
    if not is_gguf(file):
        raise CheckpointError(
            f"backbone.path '{path}' is a file, but no .gguf file. Give such a file, a folder in Hugging Face "
            "format, or a hub name."
        )
    return str(_converted(file))


def _converted(file: Path) -> Path:
    """The kept folder of a file, made if it is not there yet."""
    status = file.stat()
    digest = _digest(str(file.resolve()), status.st_size, status.st_mtime_ns)
    folder = cache_folder() / "backbones" / f"{digest[:32]}-{_RECIPE}"
    if (folder / ORIGIN_FILE).is_file():
        return folder
    with _alone(folder):
        if not (folder / ORIGIN_FILE).is_file():
            logger.info("converting %s, once; kept in %s", file, folder)
            with new_folder(folder, force=True, marker=ORIGIN_FILE) as partial:
                convert(file, partial)
                write_origin(partial, {"file": file.name, "sha256": digest})
    return folder


@lru_cache(maxsize=64)
def _digest(path: str, _size: int, _changed: int) -> str:
    return sha256_of(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the others find the folder when it is their turn."""
    lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise DataError(
            f"cannot write to {folder.parent}: {error.strerror or error}. Set {CACHE_VARIABLE} to a folder that you "
            "may write to, with room for the model at two bytes a weight."
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_origin(folder: Path, content: dict[str, Any]) -> None:
    """Write down what a folder of weights was made from."""
    (folder / ORIGIN_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def convert(file: Path, folder: Path) -> None:
    """Write the model of a .gguf file into an existing folder, in Hugging Face format.

    Args:
        file: The .gguf file.
        folder: Gets safetensors in bfloat16 (float32 and float16 where the whole file is), configuration and tokenizer.

    Raises:
        CheckpointError: If the file is damaged, or holds something that is not read rightly.
    """
    header = read_header(file)
    _refuse_parts(header)
    rope = _rope(header)
    try:
        with _quiet(), _by_itself(file) as place:
            tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file.name, trust_remote_code=False)
            model, info = _read_model(place, header)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the readers let pass whatever odd content makes Python raise
        raise CheckpointError(
            f"{file} ('{header.architecture}') could not be converted: {_reason(error)}. Take the model in Hugging "
            "Face format, or another .gguf file of it."
        ) from error
    _refuse_misfit(file, info)
    _split_as_trained(tokenizer, header)
    if rope is not None:
        model.config.rope_parameters = {**model.config.rope_parameters, **rope}
    model.config.__dict__.pop("_model_name_or_path", None)
    with _quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(str(folder))


def _read_model(place: Path, header: Header) -> tuple[PreTrainedModel, dict[str, Any]]:
    options: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):  # versions without it leave nothing quantized
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    loaded = AutoModelForCausalLM.from_pretrained(
        place,
        gguf_file=header.file.name,
        dtype=_dtype(header),
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    return cast(tuple[PreTrainedModel, dict[str, Any]], loaded)


def _dtype(header: Header) -> torch.dtype:
    """That of the file's numbers if they are plain ones; bfloat16 loses less than quantization has lost."""
    kinds = {place.kind for place in header.tensors}
    if kinds == {_F32}:
        return torch.float32
    return torch.float16 if kinds <= {_F32, _F16} else torch.bfloat16


@contextmanager
def _by_itself(file: Path) -> Iterator[Path]:
    """A folder in which the file lies alone: what else lies beside it is not its tokenizer or configuration."""
    with tempfile.TemporaryDirectory(prefix="llara-") as name:
        try:
            (Path(name) / file.name).symlink_to(file.resolve())
            folder = Path(name)
        except OSError:  # Windows lets few people make links
            folder = file.parent
        yield folder


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no advice of the library: what is loaded here is written down once and read again."""
    from transformers.utils import logging as library  # noqa: PLC0415

    shown, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        # One of its bars heeds no setting.
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        library.set_verbosity(level)
        if shown:
            library.enable_progress_bar()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _refuse_parts(header: Header) -> None:
    """Refuse what is no whole model."""
    if int(header.about.get("split.count", 1)) > 1:
        raise CheckpointError(
            f"{header.file} is one of {header.about['split.count']} parts of a model. Put them together with "
            "llama.cpp's `llama-gguf-split --merge`, and give the whole file."
        )
    kind = header.about.get("general.type", "model")
    if kind != "model":
        raise CheckpointError(f"{header.file} holds no model but '{kind}'. Give the model's own .gguf file.")
    if "tokenizer.ggml.tokens" not in header.about:
        raise CheckpointError(f"{header.file} ('{header.architecture}') has no tokenizer, so it is no language model.")


def _refuse_misfit(file: Path, info: dict[str, Any]) -> None:
    for what, key in (("lacks", "missing_keys"), ("does not fit in", "mismatched_keys")):
        names = sorted(map(str, info[key]))
        if names:
            raise CheckpointError(
                f"{file} {what} '{names[0]}', so its model is not whole. Take another .gguf file of it."
            )


def _split_as_trained(tokenizer: PreTrainedTokenizerBase, header: Header) -> None:
    """Split digits apart where the merges were learned so; the library takes such tokenizers for GPT-2's."""
    if header.about.get("tokenizer.ggml.pre") not in _DIGITS_APART:
        return
    cast(Any, tokenizer).backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def _rope(header: Header) -> dict[str, Any] | None:
    """How rotations are scaled, which the library does not read; None: they are not.

    Raises:
        CheckpointError: If they are in a way that is not known here: every score would be a little wrong.
    """
    if header.architecture == "gpt-oss":
        return None  # the library reads it there
    kind = header.of_architecture("rope.scaling.type", "none")
    scaled = kind != "none" and float(header.of_architecture("rope.scaling.factor", 1.0)) != 1.0
    factors = [place for place in header.tensors if place.name.startswith(("rope_freqs", "rope_factors"))]
    if not scaled and not factors:
        return None
    known = None if scaled or len(factors) > 1 else _llama3_rope(header, factors[0])
    if known is None:
        raise CheckpointError(
            f"{header.file} scales its rotations for long texts ('{kind if scaled else factors[0].name}') in a way "
            "that is not read from .gguf files. Take the model in Hugging Face format."
        )
    return known


def _llama3_rope(header: Header, factors: TensorPlace) -> dict[str, Any] | None:
    """Llama 3's scaling, if the file's factors are those of one of its releases (Llama 3.1: 8, Llama 3.2: 32)."""
    with header.file.open("rb") as file:
        file.seek(header.data_start + factors.offset)
        found = np.frombuffer(file.read(4 * math.prod(factors.shape)), "<f4")
    theta = float(header.of_architecture("rope.freq_base", 10000.0))
    for factor in _LLAMA3_FACTORS:
        if np.allclose(found, _llama3_factors(len(found), theta, factor), rtol=1e-4):
            return {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": _LLAMA3_LOW,
                "high_freq_factor": _LLAMA3_HIGH,
                "original_max_position_embeddings": _LLAMA3_CONTEXT,
            }
    return None


def _llama3_factors(count: int, theta: float, factor: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """By how much each frequency is slowed down: short waves not at all, long ones by `factor`, smoothly between."""
    waves = 2 * np.pi * theta ** (np.arange(count) / count)
    smooth = (_LLAMA3_CONTEXT / waves - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW)
    between = 1 / ((1 - smooth) / factor + smooth)
    slowed = np.where(waves > _LLAMA3_CONTEXT / _LLAMA3_LOW, factor, between)
    return np.where(waves < _LLAMA3_CONTEXT / _LLAMA3_HIGH, 1.0, slowed)
