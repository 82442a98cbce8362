"""The backbone: any Hugging Face causal LM, loaded, checked, and made trainable in the asked way."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from llara.errors import CheckpointError, ConfigError
from llara.model.adapt import AdaptConfig

logger = logging.getLogger(__name__)

PAPER_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NANO = "nano"


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapter; the defaults are the paper's (released code: r 8, alpha 32, dropout .1, seven projections)."""

    rank: int = 8
    """Rank of the update, >= 1."""
    alpha: int = 32
    """The update is scaled by alpha / rank."""
    dropout: float = 0.1
    """Dropout before the update, in [0, 1)."""
    targets: tuple[str, ...] = ()
    """Names of linear layers to adapt; empty: the paper's seven where the backbone has them, else all linear layers."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"backbone.lora.rank must be >= 1, got {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"backbone.lora.dropout must be in [0, 1), got {self.dropout}")


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Shape of the built-in backbone: a small Llama with its own tokenizer, made from the catalog."""

    hidden_size: int = 256
    """Width D; a multiple of num_heads."""
    num_layers: int = 4
    num_heads: int = 4
    vocabulary: int = 4096
    """Largest number of BPE tokens."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"backbone.nano.hidden_size must be a multiple of num_heads, got {self.hidden_size} and {self.num_heads}"
            )
        if self.vocabulary < 300:
            raise ConfigError(f"backbone.nano.vocabulary must be >= 300 (256 bytes and marks), got {self.vocabulary}")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which language model reads the prompts, and which of its weights are tuned."""

    path: str = NANO
    """`nano`, a folder in Hugging Face format, or a hub name."""
    tuning: Literal["lora", "full", "frozen"] = "lora"
    """lora: the adapter (the paper); full: every weight; frozen: only projector and head."""
    lora: LoraSettings = field(default_factory=LoraSettings)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the matrix products; auto: bfloat16 where the hardware multiplies it natively."""
    quantization: Literal["none", "4bit"] = "none"
    """4bit needs the extra `quantized` and a CUDA device; tuning must then be lora or frozen."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    nano: NanoConfig = field(default_factory=NanoConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)

    def __post_init__(self) -> None:
        if self.quantization == "4bit" and self.tuning == "full":
            raise ConfigError("backbone.quantization 4bit cannot be tuned in full; set backbone.tuning to lora or frozen.")


def load_backbone(
    config: BackboneConfig, *, dtype: torch.dtype = torch.float32, adapter: Path | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load weights and tokenizer of an existing backbone and make it trainable as `config.tuning` says.

    Args:
        config: Folder or hub name, tuning and quantization.
        dtype: Dtype of the stored weights; keep float32 for `full` tuning.
        adapter: A saved adapter to load instead of a fresh one.

    Raises:
        CheckpointError: If the folder lacks configuration, weights or tokenizer, or the weights are pickled only.
    """
    check_backbone_folder(config.path)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if config.quantization == "4bit":
        options["quantization_config"] = _four_bit()
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.path)
        model = AutoModelForCausalLM.from_pretrained(config.path, **options)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"backbone '{config.path}' did not load as a causal language model: {error}. "
            "Expected config.json, tokenizer files and *.safetensors, in a folder or under a hub name."
        ) from error
    return prepare_backbone(model, config, adapter=adapter), tokenizer


def check_backbone_folder(path: str) -> None:
    """Refuse a local folder that cannot be a backbone before anything heavy starts.

    Raises:
        CheckpointError: If `path` looks like a folder and is missing or incomplete.
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


def _four_bit() -> object:
    try:
        import bitsandbytes  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError("backbone.quantization 4bit needs bitsandbytes: pip install 'llara[quantized]'.") from error
    from transformers import BitsAndBytesConfig  # noqa: PLC0415

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_use_double_quant=True
    )


def prepare_backbone(model: PreTrainedModel, config: BackboneConfig, *, adapter: Path | None = None) -> PreTrainedModel:
    """Attach the adapter or (un)freeze the weights; returns the model to use in place of `model`."""
    check_head(model)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    model.config.use_cache = False
    if config.tuning == "full":
        return model.requires_grad_(True)
    model.requires_grad_(False)
    if config.tuning == "frozen":
        return model
    from peft import LoraConfig, PeftModel, get_peft_model  # noqa: PLC0415

    if adapter is not None:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)  # type: ignore[no-any-return]
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=_lora_targets(model, config.lora),
    )
    return get_peft_model(model, lora)  # type: ignore[return-value]


def _lora_targets(model: PreTrainedModel, lora: LoraSettings) -> list[str] | str:
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    if lora.targets:
        missing = sorted(set(lora.targets) - names)
        if missing:
            raise ConfigError(f"backbone.lora.targets: the backbone has no layer named {', '.join(missing)}.")
        return list(lora.targets)
    present = [name for name in PAPER_TARGETS if name in names]
    return present if len(present) == len(PAPER_TARGETS) else "all-linear"


def causal_lm(model: nn.Module) -> PreTrainedModel:
    """The causal LM itself, with or without an adapter around it."""
    base = getattr(model, "get_base_model", None)
    return base() if base is not None else model  # type: ignore[return-value]


def decoder(model: nn.Module) -> nn.Module:
    """The part that maps input embeddings to final hidden states, without the output head."""
    return causal_lm(model).base_model


def head_logits(model: nn.Module, hidden: Tensor) -> Tensor:
    """Vocabulary logits of hidden states [..., D] -> [..., V] in float32, with the backbone's own scaling and capping."""
    lm = causal_lm(model)
    logits = lm.get_output_embeddings()(hidden).float()
    scale = getattr(lm.config, "logit_scale", None)
    divisor = getattr(lm.config, "logits_scaling", None)
    cap = getattr(lm.config, "final_logit_softcapping", None)
    if scale is not None:
        logits = logits * scale
    if divisor is not None:
        logits = logits / divisor
    return torch.tanh(logits / cap) * cap if cap is not None else logits


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Make sure that `decoder` and `head_logits` together are this backbone's forward pass.

    Raises:
        CheckpointError: If they are not: the architecture treats logits in a way that we do not know.
    """
    if model.get_output_embeddings() is None:
        raise CheckpointError(f"backbone {type(model).__name__} has no output head; a causal language model is needed.")
    was_training = model.training
    model.eval()
    probe = torch.tensor([[1, 2, 3]], device=model.device)
    expected = model(input_ids=probe, use_cache=False).logits.float()
    embedded = model.get_input_embeddings()(probe)
    hidden = decoder(model)(inputs_embeds=embedded, use_cache=False).last_hidden_state
    found = head_logits(model, hidden)
    model.train(was_training)
    tolerance = 1e-4 if hidden.dtype == torch.float32 else 2e-1
    if not torch.allclose(found, expected, atol=tolerance, rtol=tolerance):
        raise CheckpointError(
            f"backbone {type(model).__name__} post-processes its logits in a way that llara does not reproduce "
            f"(largest difference {float((found - expected).abs().max()):.3g}). Choose another backbone."
        )


def embedding_norm(model: nn.Module) -> float:
    """Mean Euclidean norm of the backbone's input embeddings, as the model reads them."""
    embeddings = causal_lm(model).get_input_embeddings()
    vocabulary = min(embeddings.num_embeddings, 4096)
    with torch.no_grad():
        rows = embeddings(torch.arange(vocabulary, device=embeddings.weight.device)).float()
    return float(rows.norm(dim=-1).mean())
