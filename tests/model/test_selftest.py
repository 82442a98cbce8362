"""The self-test: architectures whose scores are those of plain passes pass, all others are refused with the reason."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from transformers import AutoModelForCausalLM, PretrainedConfig

from llara.errors import CheckpointError, PromptError
from llara.model import BackboneConfig, Llara, LoraSettings, score_candidates
from llara.model.backbone import position_limit
from llara.model.scoring import generate_answers
from llara.model.selftest import architecture_verdict, check_backbone, weights_verdict
from tests.model.conftest import SHAPE, SHAPES

Build = Callable[..., Llara]
SETTINGS = BackboneConfig(path="some/backbone")


def shape(*without: str, **changed: Any) -> dict[str, Any]:
    """The tiny shape of conftest.py with other settings."""
    return {**{name: value for name, value in SHAPE.items() if name not in without}, "vocab_size": 200, **changed}


SMALL: dict[str, Any] = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
TWO_KINDS: dict[str, Any] = {"sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"]}
LONG_ROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [3.0] * 4,
    "original_max_position_embeddings": 80,
    "factor": 12.8,
}
EXACT: dict[str, Callable[[], PretrainedConfig]] = {
    "gpt_oss": lambda: hf.GptOssConfig(**shape(**TWO_KINDS, num_local_experts=4, num_experts_per_tok=2)),
    "mixtral": lambda: hf.MixtralConfig(**shape(num_local_experts=4)),
    "qwen2_moe": lambda: hf.Qwen2MoeConfig(**shape(**EXPERTS, shared_expert_intermediate_size=16)),
    "qwen3_moe": lambda: hf.Qwen3MoeConfig(**shape(**EXPERTS)),
    "deepseek_v3": lambda: hf.DeepseekV3Config(
        **shape("head_dim", num_key_value_heads=4, n_routed_experts=4, n_group=1, topk_group=1, num_experts_per_tok=2,
                moe_intermediate_size=16, kv_lora_rank=8, q_lora_rank=8, qk_rope_head_dim=8, qk_nope_head_dim=8,
                v_head_dim=8, first_k_dense_replace=1)
    ),
    "phi3": lambda: hf.Phi3Config(**shape("head_dim")),
    "phi3_long": lambda: hf.Phi3Config(
        **shape("head_dim", rope_parameters=LONG_ROPE, original_max_position_embeddings=80)
    ),
    "phi": lambda: hf.PhiConfig(**shape()),
    "opt": lambda: hf.OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=32, pad_token_id=None),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**SMALL, intermediate_size=48),
    "gptj": lambda: hf.GPTJConfig(vocab_size=200, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, **TOKENS),
    "codegen": lambda: hf.CodeGenConfig(vocab_size=200, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, **TOKENS),
    "falcon": lambda: hf.FalconConfig(**SMALL, alibi=False, **TOKENS),
    "olmo": lambda: hf.OlmoConfig(**shape()),
    "olmo2": lambda: hf.Olmo2Config(**shape()),
    "olmo3": lambda: hf.Olmo3Config(**shape(**TWO_KINDS)),
    "stablelm": lambda: hf.StableLmConfig(**shape()),
    "smollm3": lambda: hf.SmolLM3Config(**shape()),
    "starcoder2": lambda: hf.Starcoder2Config(**shape(sliding_window=24)),
    "gpt_bigcode": lambda: hf.GPTBigCodeConfig(vocab_size=200, n_embd=32, n_layer=2, n_head=4, **TOKENS),
}  # fmt: skip


@pytest.mark.parametrize("name", [*SHAPES, *EXACT])
def test_architectures_whose_scores_are_those_of_plain_passes_pass(name: str) -> None:
    config = EXACT[name]() if name in EXACT else SHAPES[name](200)
    assert architecture_verdict(config, SETTINGS).faults == {}


def mpt() -> PretrainedConfig:
    return hf.MptConfig(d_model=32, n_heads=4, n_layers=2, expansion_ratio=2, max_seq_len=1024, vocab_size=200)


def gpt_neo(window: int = 256) -> PretrainedConfig:
    kinds = [[["global", "local"], 1]]
    return hf.GPTNeoConfig(
        vocab_size=200, hidden_size=32, num_layers=2, num_heads=4, attention_types=kinds, window_size=window, **TOKENS
    )


UNCONFIRMED: dict[str, tuple[Callable[[], PretrainedConfig], dict[str, str]]] = {
    "mpt": (mpt, {"tree": r"off by up to 0\.\d+ nats, where rounding explains 0\.00"}),
    "gpt_neo": (gpt_neo, {"tree": "off by up to"}),
    "bloom": (lambda: hf.BloomConfig(vocab_size=200, hidden_size=32, n_layer=2, n_head=4), {"tree": "ValueError: "}),
    "falcon_alibi": (lambda: hf.FalconConfig(**SMALL, alibi=True, **TOKENS), {"tree": "ValueError: "}),
    "llama4": (
        lambda: hf.Llama4TextConfig(
            **shape(attention_chunk_size=24, num_local_experts=4, intermediate_size_mlp=48, num_hidden_layers=4)
        ),
        {"tree": "layers of kind chunked_attention", "generation": "off by up to"},
    ),
    "rwkv": (
        lambda: hf.RwkvConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2, **TOKENS),
        {"tree": "off by up to", "generation": r"off by up to \d"},
    ),
    "mamba": (
        lambda: hf.MambaConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2, pad_token_id=0, **TOKENS),
        {"reading": "incompatible with Mamba-based models"},
    ),
    "gemma4": (
        lambda: hf.Gemma4TextConfig(
            **shape(hidden_size_per_layer_input=8, vocab_size_per_layer_input=200, global_head_dim=8, **TWO_KINDS)
        ),
        {"reading": "it reads token ids beside embeddings"},
    ),
}


@pytest.mark.parametrize("name", UNCONFIRMED)
def test_what_cannot_be_confirmed_is_told_with_its_reason(name: str) -> None:
    make, reasons = UNCONFIRMED[name]
    verdict = architecture_verdict(make(), SETTINGS)
    assert verdict.faults.keys() - {"prefix"} == reasons.keys()
    for way, reason in reasons.items():
        with pytest.raises(CheckpointError, match=reason):
            verdict.require(way)  # type: ignore[arg-type]


def test_experts_are_left_out_of_the_adapter_unless_dropout_is_off() -> None:
    config = hf.MixtralConfig(**shape(num_local_experts=4))
    for dropout in (0.0, 0.1):
        settings = BackboneConfig(path="some/backbone", lora=LoraSettings(dropout=dropout))
        assert architecture_verdict(config, settings).confirms("training")


@pytest.mark.parametrize("tuning", ["full", "frozen"])
def test_every_tuning_is_tested(tuning: Any) -> None:
    settings = BackboneConfig(path="some/backbone", tuning=tuning, gradient_checkpointing=True)
    assert architecture_verdict(SHAPES["llama"](200), settings).faults == {}


@pytest.mark.parametrize(
    "config",
    [
        hf.LlamaConfig(),
        hf.MistralConfig(),
        hf.Gemma2Config(),
        hf.Gemma3TextConfig(),
        hf.Qwen3Config(),
        hf.GPT2Config(n_embd=1600, n_layer=48, n_head=25),
        hf.OPTConfig(),
        hf.MixtralConfig(),
        hf.GptOssConfig(),
    ],
    ids=lambda config: config.model_type,
)
def test_the_shapes_of_large_models_are_tested_within_seconds(config: PretrainedConfig) -> None:
    started = time.process_time()
    assert architecture_verdict(config, SETTINGS).faults == {}
    assert time.process_time() - started < 20


def test_a_test_moves_no_random_numbers_and_changes_no_configuration() -> None:
    config = SHAPES["gemma"](211)
    before, state = config.to_dict(), torch.get_rng_state()
    architecture_verdict(config, SETTINGS)
    assert config.to_dict() == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def folder_of(tiny_tokenizer: Callable[[str], Any], tmp_path: Path) -> Callable[[PretrainedConfig], str]:
    """Saves a random backbone of a configuration."""

    def make(config: PretrainedConfig) -> str:
        tokenizer = tiny_tokenizer("nano")
        config.vocab_size = len(tokenizer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = AutoModelForCausalLM.from_config(config)
        model.save_pretrained(tmp_path / "backbone")
        tokenizer.save_pretrained(str(tmp_path / "backbone"))
        return str(tmp_path / "backbone")

    return make


def test_a_backbone_whose_trees_are_wrong_still_ranks_by_its_head(
    folder_of: Callable[[PretrainedConfig], str], build: Build
) -> None:
    path = folder_of(mpt())
    llara = build(path=path)
    histories, candidates = [[3, 8, 20], [1]] * 6, [[1, 2, 3], [5, 4, 19]] * 6
    with pytest.raises(CheckpointError, match=r"MptForCausalLM does not .* all answers in one pass .* listwise head"):
        score_candidates(llara, histories, candidates, scorer="answer")
    found = score_candidates(llara, histories, candidates, scorer="listwise")
    alone = [
        score_candidates(llara, [h], [c], scorer="listwise")[0] for h, c in zip(histories, candidates, strict=True)
    ]
    np.testing.assert_allclose(found, alone, atol=1e-4, rtol=0)
    settings = BackboneConfig(path=path)
    check_backbone(settings, uses=["listwise", "generation"])
    with pytest.raises(CheckpointError, match="all answers in one pass"):
        check_backbone(settings, uses=["listwise", "answer"])


def test_a_backbone_that_reads_token_ids_beside_embeddings_is_refused_on_load(
    folder_of: Callable[[PretrainedConfig], str], build: Build
) -> None:
    path = folder_of(UNCONFIRMED["gemma4"][0]())
    with pytest.raises(CheckpointError, match=r"slots that hold vectors of no token: .* Choose another backbone"):
        check_backbone(BackboneConfig(path=path))
    with pytest.raises(CheckpointError, match=r"slots that hold vectors of no token: .* Choose another backbone"):
        build(path=path)


def test_generation_that_padding_changes_is_refused(folder_of: Callable[[PretrainedConfig], str], build: Build) -> None:
    llara = build(path=folder_of(UNCONFIRMED["rwkv"][0]()))
    with pytest.raises(CheckpointError, match="answers generated from padded prompts: off by"):
        generate_answers(llara, [[1]], [[1, 2]])


def test_prompts_end_where_long_rope_would_rotate_a_whole_batch_otherwise(
    folder_of: Callable[[PretrainedConfig], str], build: Build
) -> None:
    config = EXACT["phi3_long"]()
    assert (config.max_position_embeddings, position_limit(config)) == (1024, 80)
    llara = build(path=folder_of(config))
    with pytest.raises(PromptError, match=r"takes \d+ positions, the backbone has 80"):
        score_candidates(llara, [[1, 2, 3, 9, 13, 14, 15, 16]], [[1, 2, 3, 4, 5, 6]])


def test_the_weights_themselves_are_tested_too(build: Build) -> None:
    llara = build("llama")
    verdict = weights_verdict(llara.model, llara.config.backbone)
    assert verdict.faults == {}
    head = llara.model.get_base_model().model.norm  # type: ignore[operator]
    calls = []

    def drift(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        calls.append(output)
        return output + 0.1 * len(calls)  # no two passes agree

    head.register_forward_hook(drift)
    assert weights_verdict(llara.model, llara.config.backbone).faults.keys() == {"batched", "tree", "prefix"}
