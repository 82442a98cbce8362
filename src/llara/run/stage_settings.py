"""`train.stages` as it is read: what a stage leaves out of a section is that of `train`, also key by key."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llara.errors import ConfigError
from llara.run.settings import Override
from llara.train import TrainStageConfig

_COMPLETED = ("curriculum", "optimizer", "windows")
"""Sections of a stage that keep the keys of `train` which they leave out; an objective is given as a whole."""


def with_whole_stages(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same settings, in which what a stage says of a section is completed by what `train` says of it.

    Raises:
        ConfigError: If a stage is not valid in a way that only its own config knows; with the stage's place.
    """
    stages = _stages(content)
    if not stages:
        return content
    train = content["train"]
    whole = [_completed(stage, train) if isinstance(stage, Mapping) else stage for stage in stages]
    for place, stage in enumerate(whole):
        _refuse_invalid(stage, place)
    return {**content, "train": {**train, "stages": whole}}


def _stages(content: Mapping[str, Any]) -> Sequence[Any]:
    train = content.get("train")
    stages = train.get("stages") if isinstance(train, Mapping) else None
    return stages if isinstance(stages, list | tuple) else ()


def _completed(stage: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    both = [key for key in _COMPLETED if isinstance(stage.get(key), Mapping) and isinstance(train.get(key), Mapping)]
    return {**stage, **{key: {**train[key], **stage[key]} for key in both}}


def _refuse_invalid(stage: object, place: int) -> None:
    """A stage's objective calls itself `train.objective`, wherever it stands."""
    try:
        _adapter().validate_python(stage)
    except ValidationError:
        return  # refused, with its place, where the whole is read
    except ConfigError as error:
        sections = "|".join(item.name for item in dataclasses.fields(TrainStageConfig))
        raise ConfigError(re.sub(rf"\btrain\.(?=(?:{sections})\b)", f"train.stages.{place}.", str(error))) from error


@cache
def _adapter() -> TypeAdapter[TrainStageConfig]:
    return TypeAdapter(TrainStageConfig)


def refuse_overruled(option: Override, content: Mapping[str, Any]) -> None:
    """Refuse a `--set train.KEY=...` that changes nothing, because every stage says its own.

    Raises:
        ConfigError: With what to do instead.
    """
    stages = _stages(content)
    section, *keys = option.path
    if section != "train" or not keys or not stages or option.value == "text-only":  # which holds for every stage
        return
    if all(_says(stage, keys, place) for place, stage in enumerate(stages)):
        key = ".".join(keys)
        raise ConfigError(
            f"--set {option.text}: every stage in train.stages has its own {key}. Change it in train.stages, or give "
            "the stages anew: --set 'train.stages=[...]'."
        )


def _says(stage: object, keys: Sequence[str], place: int) -> bool:
    """Whether a stage does not look at `train` for a key."""
    if not isinstance(stage, Mapping):
        return False
    first, *rest = keys
    said = stage.get(first)
    if said is None:
        return first == "curriculum" and place > 0
    return first == "objective" or not rest or not isinstance(said, Mapping) or rest[0] in said
