"""The one place that composes every stage's settings, reads them from YAML and refuses what it does not know."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from llara.data import CandidateConfig, SplitConfig
from llara.data.folder import INFO_FILE, read_info
from llara.data.limits import NonNegativeInt, check_limits, explain
from llara.errors import ConfigError
from llara.evaluate import EvaluateConfig
from llara.leakage import refuse_unknown_leaks
from llara.model import LlaraConfig
from llara.recommender import RecommenderConfig
from llara.run.arguments import require_config_file
from llara.run.settings import read_override, read_settings, refuse_unknown_keys
from llara.run.stage_settings import refuse_overruled, with_whole_stages
from llara.train import PracticeConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data, and how it is split."""

    folder: Annotated[str, Field(min_length=1)]
    """Dataset folder, made by `llara data import`; relative to the working directory."""
    seed: NonNegativeInt = 0
    """Seed of the item permutation."""
    split: SplitConfig = field(default_factory=SplitConfig)
    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    allow_leaks: tuple[str, ...] = ()
    """Leak checks, such as item-order, that may fail: training and evaluation go on, and every result says so."""

    def __post_init__(self) -> None:
        check_limits(self, "data")
        refuse_unknown_leaks(self.allow_leaks, where="data.allow_leaks")


def _names_a_folder(value: str) -> str:
    if not value.strip() or "\0" in value or Path(value).name in ("", ".."):
        raise ValueError("must name a folder to make, such as runs/movielens")
    return value


@dataclass(frozen=True, kw_only=True)
class RunConfig(LlaraConfig):
    """A whole run: data, recommender, the model's own settings, training, evaluation."""

    output: Annotated[str, AfterValidator(_names_a_folder)]
    """Run folder to write, such as runs/movielens-100k."""
    data: DataConfig
    recommender: RecommenderConfig = field(default_factory=RecommenderConfig)
    practice: PracticeConfig = field(default_factory=PracticeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    prior_folds: NonNegativeInt = 3
    """recommender_prior only: while training, a row's prior comes from a recommender that was fitted without the row's
    user, one of this many; 1: from the recommender itself, which is too sure of rows that it was fitted on; 0: training
    knows nothing of the prior, and the validation rows alone say how much head and prior count."""

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = self.evaluate.scorer
        stages = self.train.in_stages()
        if asked in ("listwise", "sequence") and asked not in self.train.trains:
            names = " and ".join(f"'{stage.objective.name}'" for stage in stages)
            raise ConfigError(
                f"evaluate.scorer {asked} needs a train.objective that trains it, such as {asked}, got {names}"
            )
        self._refuse_unused()
        if self.sequence.texts == "encoder" and self.recommender.text.encoder is None:
            raise ConfigError(
                "sequence.texts encoder needs recommender.text.encoder, the folder of a text encoder. Get one with "
                "`llara backbone fetch minilm-l6`."
            )
        if self.data.split.min_history < 1:
            raise ConfigError(
                f"data.split.min_history must be at least 1 to train LLaRA, got {self.data.split.min_history}: "
                "a prompt without history has nothing to read."
            )

    def _refuse_unused(self) -> None:
        """Settings about prompts that no stage trains on would change nothing."""
        with_candidates = any(stage.objective.prompts == "candidates" for stage in self.train.in_stages())
        if self.practice.steps > 0 and not with_candidates:
            raise ConfigError(
                "practice teaches prompts with candidates, train.objective.name sequence trains on histories alone. "
                "Set practice.steps to 0."
            )
        if self.sequence.items == "vectors" and "sequence" not in self.train.trains:
            raise ConfigError(
                "sequence.items vectors is about histories alone, which no train.objective.name sequence trains on. "
                "Leave it at titles, or train with that objective."
            )
        stages = [stage for stage in self.train.in_stages() if stage.windows.soft_targets > 0]
        taught = (stage.objective.prompts == "histories" and stage.curriculum.kind != "text-only" for stage in stages)
        if stages and not any(taught):
            raise ConfigError(
                "train.windows.soft_targets is about hybrid windows of histories alone. Set it to 0, or train with "
                "train.objective.name sequence and a train.curriculum.kind that is not text-only."
            )
        if self.ranked_candidates and not with_candidates:
            raise ConfigError(
                "ranked_candidates is about prompts with candidates, train.objective.name sequence trains on histories "
                "alone. Set it to false, or add a stage with another objective to train.stages."
            )

    @property
    def llara(self) -> LlaraConfig:
        """The model's part; with a sequence head where one is trained."""
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(LlaraConfig)}
        trained = "sequence" in self.train.trains
        own["sequence"] = dataclasses.replace(self.sequence, head=self.sequence.head or trained)
        return LlaraConfig(**own)


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file and apply `a.b=c` overrides.

    Raises:
        ConfigError: If the file is missing, is not a YAML mapping, or a key or value is not valid.
    """
    require_config_file(path)
    content = read_settings(path)
    return _with_overrides(content, overrides, where=str(path))


def parse_config(content: Mapping[str, Any], *, where: str = "config") -> RunConfig:
    """Build a `RunConfig` from nested mappings; refuses unknown keys with the nearest valid name.

    Raises:
        ConfigError: If a key or value is not valid.
    """
    try:
        return _build(content)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def override_config(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The same settings with `a.b=c` overrides applied.

    Raises:
        ConfigError: If a key or value is not valid.
    """
    return _with_overrides(config_to_dict(config), overrides, where="the settings")


def _with_overrides(content: dict[str, Any], overrides: Sequence[str], *, where: str) -> RunConfig:
    """Parse, and blame what is wrong on the option that says it, or else on `where`."""
    options = [read_override(override, RunConfig) for override in overrides]
    changed = copy.deepcopy(content)
    for option in options:
        option.apply(changed)
    for option in options:
        refuse_overruled(option, changed)
    _split_as_meant(changed)
    try:
        return _build(changed)
    except ConfigError as error:
        blamed = [option for option in options if option.is_named_in(str(error))]
        if not blamed and options and _is_valid(content):
            blamed = options
        culprit = " ".join(f"--set {option.text}" for option in blamed) or where
        raise ConfigError(f"{culprit}: {error}") from error


def _is_valid(content: Mapping[str, Any]) -> bool:
    try:
        _build(content)
    except ConfigError:
        return False
    return True


def _split_as_meant(content: dict[str, Any]) -> None:
    """Complete `data.split` with what the data set's `dataset.json` says, where the settings say nothing."""
    data = content.get("data")
    split = data.get("split", {}) if isinstance(data, dict) else None
    folder = data.get("folder") if isinstance(data, dict) else None
    if not isinstance(split, dict) or not isinstance(folder, str) or not (Path(folder) / INFO_FILE).is_file():
        return  # refused where it is read
    content["data"] = {**content["data"], "split": {**read_info(Path(folder)).split, **split}}


def _build(content: Mapping[str, Any]) -> RunConfig:
    refuse_unknown_keys(content, RunConfig)
    try:
        return _adapter().validate_python(with_whole_stages(content))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{explain(first, RunConfig, path=first['loc'])}.") from error


@cache
def _adapter() -> TypeAdapter[RunConfig]:
    return TypeAdapter(RunConfig)


def config_to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain nested dicts and lists, ready for YAML or JSON."""
    plain: dict[str, Any] = _adapter().dump_python(config, mode="json")
    return plain


def dump_config(config: RunConfig) -> str:
    """The complete settings as YAML; `load_config` reads them back to an equal `RunConfig`."""
    return str(yaml.safe_dump(config_to_dict(config), sort_keys=False))
