"""The backbone: any Hugging Face causal LM, loaded, checked, and made trainable in the asked way."""

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from llara.data.limits import PositiveInt, RatioBelowOne, check_limits
from llara.errors import CheckpointError, ConfigError
from llara.model.adapt import AdaptConfig
from llara.model.kernels.choice import use_kernels, use_own_adapters
from llara.model.loading import NOT_LOADED, check_adapter, read_backbone
from llara.model.precision import resolve_precision
from llara.recommender import best_device

if TYPE_CHECKING:
    from peft import LoraConfig

logger = logging.getLogger(__name__)

PAPER_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NANO = "nano"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapter; the defaults are the paper's (released code: r 8, alpha 32, dropout .1, seven projections)."""

    rank: PositiveInt = 8
    """Rank of the update, >= 1."""
    alpha: PositiveInt = 32
    """The update is scaled by alpha / rank."""
    dropout: RatioBelowOne = 0.1
    """Dropout before the update, in [0, 1)."""
    targets: tuple[str, ...] = ()
    """Names of linear layers to adapt; empty: the paper's seven where the backbone has them, else all linear layers."""

    def __post_init__(self) -> None:
        check_limits(self, "backbone.lora")


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Shape of the built-in backbone: a small Llama with its own tokenizer, made from the catalog."""

    hidden_size: PositiveInt = 256
    """Width D; a multiple of num_heads."""
    num_layers: PositiveInt = 4
    """Layers, of attention and feed-forward part each."""
    num_heads: PositiveInt = 4
    """Attention heads of each layer."""
    vocabulary: Annotated[int, Field(ge=300)] = 4096
    """Largest number of BPE tokens, >= 300: 256 bytes and marks."""

    def __post_init__(self) -> None:
        check_limits(self, "backbone.nano")
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"backbone.nano.hidden_size must be a multiple of num_heads = {self.num_heads}, got {self.hidden_size}"
            )
        if self.hidden_size // self.num_heads % 2:
            raise ConfigError(
                "backbone.nano.hidden_size / num_heads must be even (positions rotate pairs of numbers), "
                f"got {self.hidden_size} / {self.num_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which language model reads the prompts, and which of its weights are tuned."""

    path: Annotated[str, Field(min_length=1)] = NANO
    """`nano`, a folder in Hugging Face format, a .gguf file, or a hub name."""
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
        check_limits(self, "backbone")
        if self.quantization == "4bit" and self.tuning == "full":
            raise ConfigError(
                "backbone.quantization 4bit cannot be tuned in full; set backbone.tuning to lora or frozen."
            )
        if self.quantization == "4bit" and (self.path == NANO or self.adapt.steps > 0):
            raise ConfigError(
                "backbone.quantization 4bit takes weights as they are: it goes with neither nano nor backbone.adapt. "
                "Set quantization to none, or adapt first and give the saved folder as backbone.path."
            )


def load_backbone(
    config: BackboneConfig, *, dtype: torch.dtype = torch.float32, adapter: Path | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load weights and tokenizer of an existing backbone and make it trainable as `config.tuning` says.

    Args:
        config: Folder, .gguf file or hub name, tuning and quantization.
        dtype: Dtype of the stored weights; keep float32 for `full` tuning.
        adapter: A saved adapter to load instead of a fresh one.

    Raises:
        CheckpointError: If the folder lacks configuration, weights or tokenizer, the weights are pickled only, or a
            tensor is missing, left over, of another shape, or not finite.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if config.quantization == "4bit":
        options["quantization_config"] = _four_bit()
    model, tokenizer = read_backbone(config.path, **options)
    return prepare_backbone(model, config, adapter=adapter), tokenizer


def storage_dtype(config: BackboneConfig) -> torch.dtype:
    """Dtype in which weights that exist elsewhere are held: that of the products, float32 where they are tuned."""
    if config.tuning == "full":
        return torch.float32
    return resolve_precision(config.precision, best_device())


def _four_bit() -> object:
    try:
        import bitsandbytes  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError("backbone.quantization 4bit needs bitsandbytes: pip install 'llara[quantized]'.") from error
    from transformers import BitsAndBytesConfig  # noqa: PLC0415

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )


def prepare_backbone(model: PreTrainedModel, config: BackboneConfig, *, adapter: Path | None = None) -> PreTrainedModel:
    """Attach the adapter or (un)freeze the weights; returns the model to use in place of `model`."""
    use_kernels(model)
    check_head(model)
    if config.gradient_checkpointing:
        # Later versions of transformers warn about the second name, earlier ones lack the first.
        names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        enable = next(getattr(model, name) for name in names if hasattr(model, name))
        enable({"use_reentrant": False})
        model.enable_input_require_grads()
    model.config.use_cache = False
    # Hub models ship sampling and repetition settings that `generate` would mix into a greedy answer.
    model.generation_config = GenerationConfig()
    if config.tuning == "full":
        return model.requires_grad_(True)
    model.requires_grad_(False)
    if config.tuning == "frozen":
        return model
    return _attach_adapter(model, config.lora, adapter)


def _attach_adapter(model: PreTrainedModel, settings: LoraSettings, adapter: Path | None) -> PreTrainedModel:
    """A fresh adapter, or the saved one, around a frozen backbone."""
    from peft import LoraConfig, PeftModel, get_peft_model  # noqa: PLC0415

    with warnings.catch_warnings():
        # peft asks transformers for an attribute by its old name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        # It says so and goes on; `check_adapter` refuses.
        warnings.filterwarnings("ignore", message="Found missing adapter keys", category=UserWarning)
        if adapter is None:
            lora = LoraConfig(
                task_type="CAUSAL_LM",
                r=settings.rank,
                lora_alpha=settings.alpha,
                lora_dropout=settings.dropout,
                target_modules=_lora_targets(model, settings),
                fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
            )
            return get_peft_model(model, _with_own_layers(lora, model))  # type: ignore[return-value]
        # Asked before peft looks, which would go on to search the hub for what a folder lacks.
        missing = [name for name in ADAPTER_FILES if not (adapter / name).is_file()]
        if missing:
            raise CheckpointError(f"{adapter} has no {missing[0]}. Copy the whole run folder again.")
        try:
            saved = _with_own_layers(cast(LoraConfig, LoraConfig.from_pretrained(str(adapter))), model)
            opened = PeftModel.from_pretrained(model, str(adapter), is_trainable=True, config=saved)
        except NOT_LOADED as error:
            raise CheckpointError(
                f"{adapter} is damaged or of another backbone: {error}. Copy the whole run folder again."
            ) from error
    check_adapter(opened, adapter / ADAPTER_FILES[1])
    return opened  # type: ignore[return-value]


def _with_own_layers(lora: "LoraConfig", model: PreTrainedModel) -> "LoraConfig":
    """An adapter's settings with our layers in it, ready to be trained."""
    lora.inference_mode = False
    use_own_adapters(lora, model)
    return lora


def _lora_targets(model: PreTrainedModel, lora: LoraSettings) -> list[str] | str:
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    if lora.targets:
        missing = sorted(set(lora.targets) - names)
        if missing:
            raise ConfigError(f"backbone.lora.targets: the backbone has no layer named {', '.join(missing)}.")
        return list(lora.targets)
    present = [name for name in PAPER_TARGETS if name in names]
    if len(present) == len(PAPER_TARGETS):
        return present
    return _without_experts(model) or "all-linear"


def _without_experts(model: PreTrainedModel) -> list[str]:
    """All linear layers of a mixture whose experts are one tensor; empty: it has none.

    Of "all-linear", peft makes adapters of whole expert tensors, which refuse dropout.
    """
    fused = {
        name.rsplit(".", 1)[-1]
        for name, parameter in model.named_parameters()
        if ".experts." in name and parameter.dim() == 3
    }
    if not fused:
        return []
    parts = {"gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}  # what peft takes for a part of such a tensor
    head = model.get_output_embeddings()
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not head
        }
        - parts
    )


def position_limit(config: PretrainedConfig) -> int | None:
    """Most positions that a prompt and its answer may take, None: any number.

    Under long-rope scaling all positions of a batch are rotated otherwise once its longest row passes the length of
    pretraining: a row's scores would depend on the others, and on what was read before. So that length is the limit.
    """
    text = config.get_text_config(decoder=True)
    limits = [getattr(text, "max_position_embeddings", None)]
    rope = getattr(text, "rope_parameters", None) or {}
    for settings in [rope, *(value for value in rope.values() if isinstance(value, dict))]:
        if settings.get("rope_type") == "longrope":
            original = settings.get("original_max_position_embeddings")
            limits.append(original or getattr(text, "original_max_position_embeddings", None))
    known = [limit for limit in limits if isinstance(limit, int)]
    return min(known) if known else None


def causal_lm(model: nn.Module) -> PreTrainedModel:
    """The causal LM itself, with or without an adapter around it."""
    base = getattr(model, "get_base_model", None)
    return base() if base is not None else model  # type: ignore[return-value]


def decoder(model: nn.Module) -> nn.Module:
    """The part that maps input embeddings to final hidden states, without the output head."""
    lm = causal_lm(model)
    found = lm.base_model
    return found if found is not lm else lm.model  # Llama 4 names it otherwise than it says


def input_embeddings(model: nn.Module) -> nn.Embedding:
    """The layer that turns token ids into what the backbone reads."""
    return cast(nn.Embedding, causal_lm(model).get_input_embeddings())


def head_logits(model: nn.Module, hidden: Tensor) -> Tensor:
    """Vocabulary logits of hidden states [..., D] -> [..., V] in float32, scaled and capped as the backbone does."""
    lm = causal_lm(model)
    logits: Tensor = lm.get_output_embeddings()(hidden).float()
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
    try:
        expected = model(input_ids=probe, use_cache=False).logits.float()
        embedded = input_embeddings(model)(probe)
        hidden = decoder(model)(inputs_embeds=embedded, use_cache=False).last_hidden_state
        found = head_logits(model, hidden)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"backbone {type(model).__name__} cannot be read from embeddings: {type(error).__name__}: {error}. "
            "Choose another backbone."
        ) from error
    finally:
        model.train(was_training)
    tolerance = 1e-4 if hidden.dtype == torch.float32 else 2e-1
    if not torch.allclose(found, expected, atol=tolerance, rtol=tolerance):
        raise CheckpointError(
            f"backbone {type(model).__name__} post-processes its logits in a way that llara does not reproduce "
            f"(largest difference {float((found - expected).abs().max()):.3g}). Choose another backbone."
        )


def embedding_norm(model: nn.Module) -> float:
    """Mean Euclidean norm of the backbone's input embeddings, as the model reads them."""
    embeddings = input_embeddings(model)
    vocabulary = min(embeddings.num_embeddings, 4096)
    with torch.no_grad():
        rows = embeddings(torch.arange(vocabulary, device=embeddings.weight.device)).float()
    return float(rows.detach().norm(dim=-1).mean())
