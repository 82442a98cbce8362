"""Every backbone is tested before anything is spent: do our scores equal those of plain forward passes?

Plain means token ids alone, one row at a time, no cache. Compared are padded batches, answer trees, shared prefixes,
generation from padded rows, and slots that hold vectors of no token; and one step of training is tried.
"""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from llara.errors import CheckpointError, ConfigError
from llara.model.backbone import NANO, BackboneConfig, LoraSettings, causal_lm, prepare_backbone
from llara.model.gguf import loadable
from llara.model.loading import NOT_LOADED, check_backbone_folder
from llara.model.probes import Probe, make_probe
from llara.model.twin import build_twin

logger = logging.getLogger(__name__)

Way = Literal["reading", "batched", "training", "tree", "prefix", "generation"]
WHAT: Mapping[Way, str] = MappingProxyType({
    "reading": "slots that hold vectors of no token",
    "batched": "batches of padded prompts (listwise scores, training)",
    "training": "one step of training",
    "tree": "all answers in one pass (scorer `answer`)",
    "prefix": "a beginning that rows share",
    "generation": "answers generated from padded prompts",
})  # fmt: skip
NEEDED: Mapping[str, tuple[Way, ...]] = MappingProxyType({
    "listwise": ("reading", "batched"),
    "sequence": ("reading", "batched"),
    "answer": ("reading", "batched", "tree"),
    "generation": ("reading", "generation"),
})  # fmt: skip
_SHORT = (14, 9, 4)
"""Tokens of the two prompts and of what they share, for real weights."""


@dataclass(frozen=True)
class Verdict:
    """What a self-test found.

    Attributes:
        architecture: Class of the backbone.
        faults: For each way of reading that could not be confirmed, why not: how far off it was, or what was raised.
    """

    architecture: str
    faults: Mapping[Way, str]

    def confirms(self, way: Way) -> bool:
        """Whether a way gave what plain forward passes give."""
        return way not in self.faults

    def require(self, *ways: Way) -> None:
        """Refuse what could not be confirmed.

        Raises:
            CheckpointError: Naming the architecture, what differs and by how much, and what can still be used.
        """
        broken = [way for way in ways if way in self.faults]
        if not broken:
            return
        reasons = "; ".join(f"{WHAT[way]}: {self.faults[way]}" for way in broken)
        raise CheckpointError(
            f"backbone {self.architecture} does not pass the self-test against plain forward passes. {reasons}. "
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        usable = [name for name, ways in NEEDED.items() if all(self.confirms(way) for way in ways)]
        if not usable or not self.confirms("training"):
            return "Choose another backbone."
        if "listwise" in usable:
            return (
                "Train and score by the listwise head alone (train.objective.name: listwise), or choose another "
                "backbone."
            )
        return f"Confirmed: {', '.join(usable)}. Choose another backbone."


def check_backbone(settings: BackboneConfig, *, uses: Collection[str] = ()) -> None:
    """Refuse a backbone that cannot be trained or scored rightly, from its configuration and file names alone.

    Args:
        settings: As the run has them; `nano` is known to pass.
        uses: Scorers of the run, and `generation` where it generates.

    Raises:
        CheckpointError: If its folder is incomplete, or the self-test of its architecture fails.
    """
    if settings.path == NANO:
        return
    path = loadable(settings.path)
    check_backbone_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except NOT_LOADED as error:
        raise CheckpointError(f"backbone '{path}' has no readable config.json: {error}") from error
    verdict = architecture_verdict(config, settings)
    verdict.require("reading", "batched", "training", *(way for use in uses for way in NEEDED.get(use, ())))


_NO_SHAPE = {"dtype", "use_cache", "_name_or_path", "architectures", "transformers_version"}
_VERDICTS: dict[tuple[str, ...], Verdict] = {}
"""What was found in this process; texts only, so that no model is kept."""


def architecture_verdict(config: PretrainedConfig, settings: BackboneConfig) -> Verdict:
    """The self-test of a backbone's architecture, on a small random model of it, within a second or so.

    Args:
        config: The backbone's.
        settings: How it is tuned.
    """
    shape = {name: value for name, value in config.to_dict().items() if name not in _NO_SHAPE}
    key = tuple(map(str, (shape, settings.tuning, settings.lora, settings.gradient_checkpointing)))
    if key not in _VERDICTS:
        _VERDICTS[key] = _test_architecture(config, settings)
    return _VERDICTS[key]


def _test_architecture(config: PretrainedConfig, settings: BackboneConfig) -> Verdict:
    name = (getattr(config, "architectures", None) or [config.model_type])[0]
    faults: dict[Way, str] = {}
    if getattr(config.get_text_config(decoder=True), "hidden_size_per_layer_input", 0):
        # Gemma 3n and 4 look for each vector among all embeddings: gigabytes, to no avail.
        return Verdict(name, {"reading": "it reads token ids beside embeddings, which such vectors have not"})
    with _apart():
        try:
            twin = build_twin(config)
            probes = [make_probe(twin, lengths=None, foreign=False)]
            model = _prepared(twin, settings)
            probes.append(make_probe(model, lengths=None, foreign=True))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return Verdict(name, {"reading": _reason(error)})
        for way in ("batched", "tree", "prefix", "generation"):
            _note(faults, way, lambda way=way: _worst(probes, model, way))  # type: ignore[misc]
        _note(faults, "training", lambda: probes[1].training(model))
    return Verdict(name, faults)


def self_test(model: PreTrainedModel, settings: BackboneConfig) -> Verdict:
    """As `weights_verdict`; `nano` is made here and known to pass."""
    return Verdict("nano", {}) if settings.path == NANO else weights_verdict(model, settings)


def weights_verdict(model: PreTrainedModel, settings: BackboneConfig) -> Verdict:
    """The self-test of a prepared backbone with its own weights on short prompts, and that of its architecture.

    Args:
        model: As `prepare_backbone` gives it.
        settings: How it is tuned.
    """
    lm = causal_lm(model)
    verdict = architecture_verdict(lm.config, settings)
    faults: dict[Way, str] = dict(verdict.faults)
    was_training = model.training
    with _apart():
        model.eval()
        try:
            probe = make_probe(model, lengths=_SHORT, foreign=False)
            for way in ("batched", "tree", "prefix"):
                if way not in faults:
                    _note(faults, way, lambda way=way: _worst([probe], model, way))  # type: ignore[misc]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            faults["reading"] = _reason(error)
        finally:
            model.train(was_training)
    return Verdict(type(lm).__name__, faults)


def _prepared(twin: PreTrainedModel, settings: BackboneConfig) -> PreTrainedModel:
    try:
        model = prepare_backbone(twin, settings)
    except ConfigError:  # a layer to adapt that only the layers left out have
        lora = replace(settings.lora, targets=LoraSettings().targets)
        model = prepare_backbone(twin, replace(settings, lora=lora))
    model.eval()
    return model


def _worst(probes: Collection[Probe], model: nn.Module, way: Way) -> str | None:
    for probe in probes:
        fault = probe.fault(model, way)
        if fault is not None:
            return fault
    return None


def _note(faults: dict[Way, str], way: Way, run: Callable[[], str | None]) -> None:
    try:
        fault = run()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        fault = _reason(error)
    if fault is not None:
        faults[way] = fault


def _reason(error: Exception) -> str:
    """The message of our own refusals; of others the kind too, since theirs may be a mere number."""
    text = " ".join(str(error).split()).rstrip(".")[:300]
    return text if isinstance(error, CheckpointError) else f"{type(error).__name__}: {text}"


@contextmanager
def _apart() -> Iterator[None]:
    """Neither random numbers nor warnings of a test reach the run."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
