"""`llara backbone check`: what a pretrained model is, whether it can be used, what it costs, and what to set."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from llara.data import load_dataset
from llara.errors import CheckpointError, ConfigError
from llara.model.backbone import (
    NANO,
    BackboneConfig,
    causal_lm,
    input_embeddings,
    load_backbone,
    position_limit,
    storage_dtype,
)
from llara.model.gguf import ORIGIN_FILE, loadable
from llara.model.loading import NOT_LOADED
from llara.model.selftest import NEEDED, Way, weights_verdict
from llara.prompt import make_frame
from llara.run.backbones.advice import Advice, advise
from llara.run.backbones.known import KNOWN
from llara.run.backbones.prompts import PromptCost, cost_of_prompts


@dataclass(frozen=True)
class TokenizerFacts:
    """What a tokenizer is like.

    Attributes:
        kind: Its class.
        vocabulary: How many tokens it has.
        special: Begin, end, padding and unknown token, where it has them.
        has_chat_template: Whether it says how conversations are written.
        frame: What the template puts around each prompt, as text.
        frame_tokens: How many tokens that is.
    """

    kind: str
    vocabulary: int
    special: Mapping[str, str]
    has_chat_template: bool
    frame: str
    frame_tokens: int


@dataclass(frozen=True)
class ModelFacts:
    """What a model is like.

    Attributes:
        architecture: Its class in transformers.
        num_weights: How many numbers it has.
        num_trained: How many LoRA adds to them, and trains.
        layers: How many layers.
        width: Numbers in a hidden state.
        positions: Most tokens of a prompt with its answer; None: any number.
        held_in: How the weights are held here.
        weight_bytes: Memory that they take so.
    """

    architecture: str
    num_weights: int
    num_trained: int
    layers: int
    width: int
    positions: int | None
    held_in: str
    weight_bytes: int


@dataclass(frozen=True)
class CheckedBackbone:
    """What `llara backbone check` found.

    Attributes:
        path: As it was named.
        folder: The folder that is loaded; another one for a .gguf file.
        model: What the model is like.
        tokenizer: What its tokenizer is like.
        faults: For each way of reading that is not exact, why.
        prompts: What prompts of a data set cost; None: none was named.
        advice: What to set, and why.
    """

    path: str
    folder: str
    model: ModelFacts
    tokenizer: TokenizerFacts
    faults: Mapping[Way, str]
    prompts: PromptCost | None
    advice: tuple[Advice, ...]

    @property
    def uses(self) -> dict[str, bool]:
        """By scorer, and for generation, whether what it computes is known to be exact."""
        return {use: not set(ways) & set(self.faults) for use, ways in NEEDED.items()}

    @property
    def usable(self) -> bool:
        """Whether it can be trained and scored in one way at least."""
        return any(self.uses.values()) and "training" not in self.faults

    def as_json(self) -> dict[str, Any]:
        """Everything that was found, as plain values."""
        return {**asdict(self), "usable": self.usable, "uses": self.uses}


def check_pretrained(path: str, *, data: Path | None = None) -> CheckedBackbone:
    """Load a model, test it, and measure what its prompts cost on a data set.

    Args:
        path: As `backbone.path`: folder, .gguf file or hub name.
        data: Dataset folder whose prompts are measured.

    Raises:
        ConfigError: If `path` is no pretrained model.
        CheckpointError: If it cannot be loaded as a language model.
        DataError: If the data set cannot be read.
    """
    _refuse_other_names(path)
    dataset = None if data is None else load_dataset(data)
    folder = loadable(path)
    _refuse_encoder(path, folder)
    settings = BackboneConfig(path=folder)
    model, tokenizer = load_backbone(settings, dtype=storage_dtype(settings))
    verdict = weights_verdict(model, settings)
    facts, written = _model_facts(model), _tokenizer_facts(tokenizer)
    prompts = None
    if dataset is not None and verdict.confirms("reading") and verdict.confirms("batched"):
        prompts = cost_of_prompts(model, tokenizer, dataset, settings)
    advice = advise(
        path, prompts=prompts, positions=facts.positions, frame_tokens=written.frame_tokens, faults=verdict.faults
    )
    return CheckedBackbone(path, folder, facts, written, dict(verdict.faults), prompts, advice)


def _model_facts(model: PreTrainedModel) -> ModelFacts:
    lm = causal_lm(model)
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    return ModelFacts(
        architecture=type(lm).__name__,
        num_weights=sum(parameter.numel() for parameter in frozen),
        num_trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        layers=int(getattr(lm.config.get_text_config(decoder=True), "num_hidden_layers", 0)),
        width=input_embeddings(model).embedding_dim,
        positions=position_limit(lm.config),
        held_in=str(lm.dtype).removeprefix("torch."),
        weight_bytes=sum(parameter.numel() * parameter.element_size() for parameter in frozen),
    )


def _refuse_other_names(path: str) -> None:
    if path == NANO:
        raise ConfigError(
            "`nano` is made anew from each catalog: there is nothing to check. `llara plan` says what a run takes."
        )
    if path in KNOWN and not Path(path).exists():
        raise ConfigError(
            f"'{path}' is not here. Run `llara backbone fetch {path}`, then check the folder that it makes "
            f"(backbones/{path})."
        )


def _refuse_encoder(path: str, folder: str) -> None:
    """Refuse a model that turns texts into vectors and writes none: it would be blamed for lacking weights."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        origin = Path(folder) / ORIGIN_FILE
        kind = json.loads(origin.read_text(encoding="utf-8")).get("kind") if origin.is_file() else None
    except NOT_LOADED:
        return  # told where it is loaded
    names = list(getattr(config, "architectures", None) or [])
    encodes = bool(names) and all(name.endswith(("Model", "ForMaskedLM")) for name in names)
    if kind == "encoder" or encodes:
        raise CheckpointError(
            f"'{path}' ({', '.join(names) or config.model_type}) turns texts into vectors and writes none, so it is no "
            "backbone. Give a causal language model, such as that of `llara backbone fetch smollm2-135m`."
        )


def _tokenizer_facts(tokenizer: PreTrainedTokenizerBase) -> TokenizerFacts:
    has_template = bool(tokenizer.chat_template)
    frame = make_frame(tokenizer, use_chat_template=has_template)
    shown = " ... ".join(str(tokenizer.decode(list(part))) for part in (frame.prefix, frame.suffix))
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    found = {name: getattr(tokenizer, name) for name in names}
    return TokenizerFacts(
        kind=type(tokenizer).__name__,
        vocabulary=len(tokenizer),
        special={name: str(token) for name, token in found.items() if token is not None},
        has_chat_template=has_template,
        frame=shown,
        frame_tokens=len(frame.prefix) + len(frame.suffix),
    )
