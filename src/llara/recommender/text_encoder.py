"""Vectors of texts by a text encoder on this machine, such as all-MiniLM-L6-v2."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from llara.errors import CheckpointError

_TOKENS_AT_ONCE = 4096
_NOT_LOADED = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
_POOLING_HEAD = "pooler."
"""Weights that some files lack and that no mean of states uses."""


@torch.inference_mode()
def encode_texts(
    folder: Path, texts: Sequence[str], *, max_tokens: int = 64, on_progress: Callable[[int], None] | None = None
) -> Tensor:
    """Mean final state over each text's tokens, at length 1, [len(texts), V].

    Args:
        folder: Model and tokenizer as Hugging Face's `save_pretrained` writes them, weights as safetensors; encoders
            and decoders alike. Code beside them is never run.
        texts: One per row; an empty one gets a vector of zeros.
        max_tokens: Tokens of a text that are read, special ones included; the rest is cut, >= 1.
        on_progress: Called with the number of texts just read.

    Raises:
        CheckpointError: If the folder holds no complete model.
    """
    model, tokenizer = _load(folder)
    pad = tokenizer.pad_token_id or 0
    ids = [tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"] if text else [] for text in texts]
    vectors = torch.zeros(len(texts), model.config.hidden_size)
    by_length = [row for row in sorted(range(len(ids)), key=lambda row: len(ids[row])) if ids[row]]
    while by_length:
        width = len(ids[by_length[-1]])  # the longest first: what does not fit into memory is known at once
        rows = [by_length.pop() for _ in range(min(len(by_length), max(1, _TOKENS_AT_ONCE // width)))]
        tokens = torch.tensor([[*ids[row], *[pad] * (width - len(ids[row]))] for row in rows])
        mask = torch.arange(width) < torch.tensor([len(ids[row]) for row in rows])[:, None]
        states = model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state.float()
        mean = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        vectors[torch.tensor(rows)] = functional.normalize(mean, dim=1)
        if on_progress is not None:
            on_progress(len(rows))
    return vectors


def encoded_width(folder: Path) -> int:
    """Width V of the vectors of `encode_texts`, without loading the model.

    Raises:
        CheckpointError: If the folder holds no model.
    """
    _require_config(folder)
    try:
        width: int = AutoConfig.from_pretrained(str(folder), trust_remote_code=False).hidden_size
    except _NOT_LOADED as error:
        raise CheckpointError(
            f"text encoder '{folder}' cannot be loaded: {error}. Copy the whole folder again."
        ) from error
    return width


def _not_loaded(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"text encoder '{folder}' cannot be loaded: {error}. Copy the whole folder again.")


def _require_config(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"text encoder '{folder}' has no config.json. Get one with `llara backbone fetch minilm-l6`, or correct "
            "recommender.text.encoder."
        )


def _load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    _require_config(folder)
    try:
        model, info = AutoModel.from_pretrained(
            str(folder), trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except _NOT_LOADED as error:
        raise _not_loaded(folder, error) from error
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(_POOLING_HEAD))
    if missing:
        raise CheckpointError(f"text encoder '{folder}' lacks the tensor '{missing[0]}'. Copy the whole folder again.")
    return model.eval(), tokenizer
