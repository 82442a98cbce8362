"""A small random model of a backbone's architecture, in which whatever depends on length happens within few tokens."""

import copy
from collections.abc import Collection
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

WINDOW = 24
"""Positions after which a twin's windows end and chunks change."""
_WINDOWS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size", "local_attention")
_HEADS = 2
_WIDEST = 128
_MOST_LAYERS, _FEWEST_LAYERS = 8, 2
_VOCABULARY = 512
_SCALE = 0.1
_MOST_WEIGHTS = 200_000_000


def build_twin(config: PretrainedConfig, *, seed: int = 0) -> PreTrainedModel:
    """A random model of the same architecture: all kinds of layers, few of each, two heads, short windows.

    Weights are large enough for attention to matter: between random models of the usual scale and ones that attend to
    the wrong tokens there is little difference.

    Args:
        config: The backbone's; not changed.
        seed: Seed of the weights. Call it within `torch.random.fork_rng`.
    """
    torch.manual_seed(seed)
    model = _first_that_runs(config)
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too, which start at 1 and 0
            parameter.add_(_SCALE * torch.randn_like(parameter))
    model.eval()
    return model


def _first_that_runs(config: PretrainedConfig) -> PreTrainedModel:
    """The smallest model that runs; some cannot be cut, such as those whose layers use the caches of others."""
    refused: list[Exception] = []
    for cuts in (("layers", "width"), ("layers",), ()):
        try:
            return _random_model(_shrunk(config, cuts=cuts))
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError, AttributeError) as error:
            refused.append(error)
    raise refused[0]


def _random_model(config: PretrainedConfig) -> PreTrainedModel:
    """A model that runs, unless even the small one is too large to be made on the way."""
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(copy.deepcopy(config), trust_remote_code=False)
    size = sum(parameter.numel() for parameter in empty.parameters())
    if size > _MOST_WEIGHTS:
        raise ValueError(f"a small model of this architecture would have {size / 1e6:.0f} million weights")
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False, dtype=torch.float32)
    with torch.no_grad():
        model.eval()(input_ids=torch.tensor([[1, 2]]), use_cache=False)
    return model


def _shrunk(config: PretrainedConfig, *, cuts: Collection[str]) -> PretrainedConfig:
    small = copy.deepcopy(config)
    if hasattr(small, "quantization_config"):
        del small.quantization_config
    small._attn_implementation = None  # what transformers would choose
    text = small.get_text_config(decoder=True)
    if "layers" in cuts:
        _cut_layers(text)
    if "width" in cuts:
        _cut_width(text)
    for name in getattr(small, "sub_configs", {}):  # towers for images and sounds, which no prompt enters
        part = getattr(small, name, None)
        if part is not None and part is not text and isinstance(getattr(part, "num_hidden_layers", None), int):
            part.num_hidden_layers = 1
    text.vocab_size = min(text.vocab_size, _VOCABULARY)
    for part in {id(small): small, id(text): text}.values():
        for name, token in list(vars(part).items()):  # padding, end, image, ...
            is_token = name.endswith(("token_id", "token_index")) and isinstance(token, int)
            if is_token and token >= text.vocab_size:
                setattr(part, name, text.vocab_size - 1)
    for name in _WINDOWS:
        window = getattr(text, name, None)
        if isinstance(window, int) and window > WINDOW:
            setattr(text, name, WINDOW)
    if hasattr(text, "floor_scale"):  # Llama 4 scales queries by how many times a position holds it
        text.floor_scale = min(text.floor_scale, WINDOW)
    return small


def _cut_layers(text: PretrainedConfig) -> None:
    """Keep the first layers, as many as it takes to have every kind that a list of layers names."""
    layers = text.num_hidden_layers
    per_layer = {name: value for name, value in vars(text).items() if isinstance(value, list) and len(value) == layers}
    needed = [max(value.index(kind) + 1 for kind in _kinds(value)) for value in per_layer.values()]
    kept = max([min(_FEWEST_LAYERS, layers), *(number for number in needed if number <= _MOST_LAYERS)])
    if not per_layer:  # some kinds come every so many layers without a list that says so
        kept = min(layers, 4)
    for name, value in per_layer.items():
        setattr(text, name, value[:kept])
    text.num_hidden_layers = kept


def _kinds(values: list[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if value not in values[:place]]


def _cut_width(text: PretrainedConfig) -> None:
    """Two heads of the size they have, so that rotations and their scaling factors keep their length."""
    heads, width = getattr(text, "num_attention_heads", None), text.hidden_size
    if isinstance(heads, int) and heads > _HEADS and width % heads == 0:
        key_heads = getattr(text, "num_key_value_heads", None)
        if isinstance(key_heads, int):
            text.num_key_value_heads = _HEADS if key_heads == heads else 1
        text.num_attention_heads = _HEADS
        per_head = width // heads
        if per_head % 16 and isinstance(getattr(text, "head_dim", None), int):  # GPT-OSS: 2,880 over 64 heads of 64
            per_head = text.head_dim
        text.hidden_size = _HEADS * per_head
        if isinstance(getattr(text, "word_embed_proj_dim", None), int) and text.word_embed_proj_dim == width:
            text.word_embed_proj_dim = text.hidden_size
    for name in ("intermediate_size", "ffn_dim", "intermediate_size_mlp", "moe_intermediate_size"):
        size = getattr(text, name, None)
        if isinstance(size, int) and size > _WIDEST:
            setattr(text, name, _WIDEST)
