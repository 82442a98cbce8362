"""Tiny random backbones of every tested shape, saved once per session as a user would have them: folders."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from llara.data import Catalog
from llara.model import BackboneConfig, Llara, LlaraConfig, LoraSettings, NanoConfig, SequenceConfig
from llara.prompt import PromptConfig
from llara.recommender import SASRec

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
# window 24 is far shorter than a prompt, so that a tree which forgot the window would score differently
SHAPES: dict[str, Callable[[int], PretrainedConfig]] = {
    "llama": lambda size: LlamaConfig(vocab_size=size, **SHAPE),
    "qwen2": lambda size: Qwen2Config(vocab_size=size, **SHAPE),
    "qwen3": lambda size: Qwen3Config(vocab_size=size, tie_word_embeddings=True, **SHAPE),
    "mistral": lambda size: MistralConfig(vocab_size=size, sliding_window=24, **SHAPE),
    "gemma": lambda size: GemmaConfig(vocab_size=size, **SHAPE),
    "gemma2": lambda size: Gemma2Config(vocab_size=size, sliding_window=24, final_logit_softcapping=3.0, **SHAPE),
    "gemma3": lambda size: Gemma3TextConfig(
        vocab_size=size, sliding_window=24, layer_types=["sliding_attention", "full_attention"], **SHAPE
    ),
    "granite": lambda size: GraniteConfig(vocab_size=size, logits_scaling=4.0, **SHAPE),
    "cohere": lambda size: CohereConfig(vocab_size=size, logit_scale=0.25, **SHAPE),
    "gpt2": lambda size: GPT2Config(
        vocab_size=size,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=1024,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    ),
}
TOKENIZERS = {"gpt2": "gpt2", "qwen2": "chat", "qwen3": "chat", "mistral": "metaspace", "gemma": "unigram"}


@pytest.fixture(scope="session")
def backbone_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> Callable[[str], str]:
    """The folder of a tiny random backbone (safetensors, configuration, tokenizer), made once per shape."""

    @cache
    def make(shape: str) -> str:
        folder = tmp_path_factory.mktemp("backbones") / shape
        tokenizer = tiny_tokenizer(TOKENIZERS.get(shape, "nano"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = AutoModelForCausalLM.from_config(SHAPES[shape](len(tokenizer)))
            with torch.no_grad():
                for parameter in model.parameters():  # norms and biases too, which start at 1 and 0
                    parameter.add_(0.03 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(str(folder))
        return str(folder)

    return make


@pytest.fixture(scope="session")
def sasrec(tiny_catalog: Catalog) -> SASRec:
    """An unfitted recommender over the tiny catalog, 16 wide; frozen, so it can be shared."""
    return SASRec(tiny_catalog.num_items, width=16, seed=3)


@pytest.fixture(scope="session")
def build(tiny_catalog: Catalog, sasrec: SASRec, backbone_folder: Callable[[str], str]) -> Callable[..., Llara]:
    """A new model around a tiny backbone (`nano` or a shape); keywords beyond those named go to `BackboneConfig`."""

    def make(
        shape: str = "nano",
        *,
        path: str = "",
        prompt: PromptConfig | None = None,
        seed: int = 0,
        sequence: SequenceConfig | None = None,
        **backbone: Any,
    ) -> Llara:
        settings = BackboneConfig(
            path=path or (shape if shape == "nano" else backbone_folder(shape)),
            nano=NanoConfig(hidden_size=32, num_layers=2, num_heads=4, vocabulary=400),
            **{"precision": "float32", "lora": LoraSettings(dropout=0.0), **backbone},
        )
        config = LlaraConfig(prompt=prompt or PromptConfig(), sequence=sequence or SequenceConfig(), seed=seed)
        return Llara.from_backbone(settings, sasrec, tiny_catalog, config=config)

    return make


@pytest.fixture
def stir() -> Callable[[Llara], Llara]:
    """Move every trainable weight a little, so that adapter, projector, placeholder and head all matter."""

    def move(llara: Llara) -> Llara:
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in llara.trainable().values():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        return llara

    return move
