"""The `nano` backbone: a few-million-parameter Llama with its own BPE tokenizer, made from a catalog's text."""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llara.model.backbone import NanoConfig

BEGIN, END, PADDING = "<|begin|>", "<|end|>", "<|pad|>"


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from `texts`; any string can be encoded, so no unknown token is needed."""
    tokenizer = Tokenizer(models.BPE())
    # Words keep their punctuation, so that " (1995)" can become one token: titles get about a third shorter.
    words = pre_tokenizers.Split(Regex(r" ?[^ \n]+|\n| "), behavior="isolated")
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
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(shape)
    return model, tokenizer
