"""The one place that composes every stage's settings, reads them from YAML and refuses what it does not know."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from llara.data import CandidateConfig, SplitConfig
from llara.data.folder import INFO_FILE, read_info
from llara.errors import ConfigError
from llara.evaluate import EvaluateConfig
from llara.leakage import refuse_unknown_leaks
from llara.model import BackboneConfig, LlaraConfig
from llara.prompt import PromptConfig
from llara.recommender import RecommenderConfig
from llara.run.arguments import require_config_file
from llara.train import PracticeConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data, and how it is split."""

    folder: str
    """Dataset folder, made by `llara data import`; relative to the working directory."""
    seed: int = 0
    """Seed of the item permutation."""
    split: SplitConfig = field(default_factory=SplitConfig)
    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    allow_leaks: tuple[str, ...] = ()
    """Leak checks, such as item-order, that may fail: training and evaluation go on, and every result says so."""

    def __post_init__(self) -> None:
        refuse_unknown_leaks(self.allow_leaks, where="data.allow_leaks")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run: data, recommender, backbone, prompt, training, evaluation."""

    output: str
    """Run folder to write, such as runs/movielens-100k."""
    data: DataConfig
    recommender: RecommenderConfig = field(default_factory=RecommenderConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    practice: PracticeConfig = field(default_factory=PracticeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    recommender_prior: bool = False
    """Beyond the paper: add the recommender's log-probabilities, with a learned weight, to the listwise scores of
    hybrid prompts; the language model then learns what the recommender misses."""
    prior_folds: int = 3
    """recommender_prior only: while training, a row's prior comes from a recommender that was fitted without the row's
    user, one of this many; 1: from the recommender itself, which is too sure of rows that it was fitted on."""
    part_vectors: bool = False
    """Beyond the paper: learned vectors that mark history items and candidates for the backbone; helps small ones."""
    seed: int = 0
    """Seed of what is new in the model: projector, head, nano backbone."""

    def __post_init__(self) -> None:
        if self.evaluate.scorer == "listwise" and "listwise" not in self.train.objective.trains:
            raise ConfigError(
                "evaluate.scorer listwise needs a train.objective that trains it, such as listwise or sum, "
                f"got '{self.train.objective.name}'"
            )
        if self.prior_folds < 1:
            raise ConfigError(f"prior_folds must be >= 1, got {self.prior_folds}")
        if self.data.split.min_history < 1:
            raise ConfigError(
                f"data.split.min_history must be at least 1 to train LLaRA, got {self.data.split.min_history}: "
                "a prompt without history has nothing to read."
            )

    @property
    def llara(self) -> LlaraConfig:
        """The model's part."""
        return LlaraConfig(
            backbone=self.backbone,
            prompt=self.prompt,
            recommender_prior=self.recommender_prior,
            part_vectors=self.part_vectors,
            seed=self.seed,
        )


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file and apply `a.b=c` overrides.

    Raises:
        ConfigError: If the file is missing, is not a YAML mapping, or a key or value is not valid.
    """
    require_config_file(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected settings as `key: value`, found {type(content).__name__}.")
    for override in overrides:
        _apply_override(content, override)
    _split_as_meant(content)
    return parse_config(content, where=str(path))


def _split_as_meant(content: dict[str, Any]) -> None:
    """Complete `data.split` with what the data set's `dataset.json` says, where the settings say nothing."""
    data = content.get("data")
    split = data.get("split", {}) if isinstance(data, dict) else None
    folder = data.get("folder") if isinstance(data, dict) else None
    if not isinstance(split, dict) or not isinstance(folder, str) or not (Path(folder) / INFO_FILE).is_file():
        return  # refused where it is read
    content["data"] = {**content["data"], "split": {**read_info(Path(folder)).split, **split}}


def parse_config(content: Mapping[str, Any], *, where: str = "config") -> RunConfig:
    """Build a `RunConfig` from nested mappings; refuses unknown keys with the nearest valid name."""
    _refuse_unknown(content, RunConfig, where=where, prefix="")
    try:
        return TypeAdapter(RunConfig).validate_python(content)
    except ConfigError as error:  # a setting's own check, which does not know where it was written
        raise ConfigError(f"{where}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {key or 'config'}: {first['msg']}, found {_shown(first['input'])}.") from error


def override_config(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The same settings with `a.b=c` overrides applied.

    Raises:
        ConfigError: If a key or value is not valid.
    """
    content = config_to_dict(config)
    for override in overrides:
        _apply_override(content, override)
    return parse_config(content, where="--set")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set expects key=value, such as train.epochs=2; found '{override}'.")
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: '{parent}' holds a value, not settings.")
        place = inner
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        quoted = f"--set '{key}=\"{value}\"'"
        raise ConfigError(f"--set {override}: the value is not valid YAML; if it is a text, write {quoted}.") from error


def _refuse_unknown(content: object, kind: type, *, where: str, prefix: str) -> None:
    """Walk the mapping beside the dataclass tree."""
    if not isinstance(content, Mapping):
        return
    hints = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            remedy = f"Did you mean '{prefix}{near[0]}'?" if near else f"Valid here: {', '.join(known)}."
            raise ConfigError(f"{where}: unknown key '{prefix}{key}'. {remedy}")
        inner = _dataclass_of(hints[key])
        if inner is not None:
            _refuse_unknown(value, inner, where=where, prefix=f"{prefix}{key}.")


def _dataclass_of(hint: object) -> type | None:
    """The dataclass in a type hint, also behind `| None`."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((option for option in options if isinstance(option, type) and dataclasses.is_dataclass(option)), None)


def config_to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain nested dicts and lists, ready for YAML or JSON."""
    plain: dict[str, Any] = TypeAdapter(RunConfig).dump_python(config, mode="json")
    return plain


def dump_config(config: RunConfig) -> str:
    """The complete settings as YAML; `load_config` reads them back to an equal `RunConfig`."""
    return str(yaml.safe_dump(config_to_dict(config), sort_keys=False))
