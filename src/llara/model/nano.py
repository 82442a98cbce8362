"""The `nano` backbone: a few-million-parameter Llama with its own BPE tokenizer, made from a catalog's text."""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaAttention

from llara.model.backbone import NanoConfig
from llara.model.kernels.choice import use_kernels

_QUERY_SCALE, _OUTPUT_SCALE, _FINAL_SCALE = 0.8, 0.3, 2.0
_NOTE_SCALE, _FOLLOW_SCALE, _COPY_SCALE = 0.3, 1.6, 0.6
_ROTATION_BASE = 1e6
"""Slow rotations: what was learned on short prompts holds on long ones."""
BEGIN, END, PADDING = "<|begin|>", "<|end|>", "<|pad|>"

_WORDS = r" \([^();,\n]+\)?|[;,] [^();,\n]*[^();,\n ]| ?[^ ();,\n]+|[();,\n ]"
"""What can become one token: " (1995)", " (Mark Twain", "; historical novel", ", The", " word". A value that many items
share is then read at one place, and titles get about a third shorter."""


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from `texts`; any string can be encoded, so no unknown token is needed."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
    )


def build_nano(
    texts: Iterable[str], config: NanoConfig, *, seed: int
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A randomly initialized nano Llama and its tokenizer.

    Args:
        texts: What the tokenizer learns from: catalog text and prompt wording.
        config: Shape.
        seed: Seed of the initial weights; the same seed and texts give the same model.
    """
    tokenizer = train_tokenizer(texts, vocabulary=config.vocabulary)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=3 * config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        attention_bias=True,  # a head that looks one position back needs no word to do so
        rope_parameters={"rope_type": "default", "rope_theta": _ROTATION_BASE},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(shape)
        _start_as_matcher(model)
        _start_as_copier(model)
    use_kernels(model)
    return model, tokenizer


@torch.no_grad()
def _start_as_matcher(model: LlamaForCausalLM) -> None:
    """Let every layer begin by looking for tokens like the current one and passing on what stands there.

    Queries and keys share one random rotation, outputs undo that of the values. A model of this size that starts from
    plain noise does not find out within minutes that an author in the history speaks for that author's books among the
    candidates; from here it does (docs/experiments.md).

    Source:
        Trockman and Kolter, Mimetic Initialization of Self-Attention Layers (arXiv:2305.09828). Deviation: exact
        rotations without noise, and values with a positive sign.
    """
    width = model.config.hidden_size
    model.model.embed_tokens.weight.normal_(std=width**-0.5)
    model.model.norm.weight.fill_(_FINAL_SCALE)
    for layer in model.model.layers:
        attention = layer.self_attn
        nn.init.orthogonal_(attention.q_proj.weight, gain=_QUERY_SCALE)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        nn.init.orthogonal_(attention.v_proj.weight)
        attention.o_proj.weight.copy_(_OUTPUT_SCALE * attention.v_proj.weight.T)


@torch.no_grad()
def _start_as_copier(model: LlamaForCausalLM) -> None:
    """Let the first head of every layer begin as part of a circuit that continues text as it went on before.

    In the first layer it writes down which token stands before each (by position alone, hence the biases); in the later
    ones it looks for places that followed a token like the current one and passes on what stands there. So listed
    titles can be copied into answers, which is not learned within minutes otherwise (docs/experiments.md).

    Source:
        The circuit is that of Olsson et al., In-context Learning and Induction Heads (arXiv:2209.11895); that a model
        starts with it is ours.
    """
    width = model.config.hidden_size
    size = width // model.config.num_attention_heads
    first = slice(0, size)
    layers = [layer.self_attn for layer in model.model.layers]
    previous = layers[0]
    _look_one_back(previous, size)
    read = previous.v_proj.weight[first]
    place, _ = torch.linalg.qr((torch.eye(width) - read.T @ read) @ torch.randn(width, size))
    previous.o_proj.weight[:, first] = _NOTE_SCALE * place
    for attention in layers[1:]:
        attention.q_proj.weight[first] = _FOLLOW_SCALE * read
        attention.k_proj.weight[first] = _FOLLOW_SCALE * place.T
        attention.o_proj.weight[:, first] = _COPY_SCALE * attention.v_proj.weight[first].T


def _look_one_back(attention: LlamaAttention, size: int) -> None:
    """Point the first head, `size` wide, at the position before: only there do all its rotations agree."""
    half = size // 2
    pairs = min(3, half)
    angles = _ROTATION_BASE ** (-torch.arange(pairs) / half)
    strength = (10 * size**0.5) ** 0.5
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[:size] = 0
    attention.q_proj.bias[:pairs] = strength
    attention.k_proj.bias[:pairs] = strength * angles.cos()
    attention.k_proj.bias[half : half + pairs] = strength * angles.sin()
