"""Limits of settings, written in their types: `rank: PositiveInt = 8`. Every config checks its own when it is made.

Pydantic reads the same types where settings come from YAML or the command line, so a limit is written once.
"""

import dataclasses
import datetime
import types
import typing
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from llara.errors import ConfigError


def _refuse_truth(value: object) -> object:
    """`yes` is no number, though it is 1 to Python."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


_NUMBER = BeforeValidator(_refuse_truth)
PositiveInt = Annotated[int, _NUMBER, Field(ge=1)]
"""A whole number >= 1: sizes and counts of what there must be some of."""
NonNegativeInt = Annotated[int, _NUMBER, Field(ge=0)]
"""A whole number >= 0: seeds, and counts where 0 means none."""
PositiveNumber = Annotated[float, _NUMBER, Field(gt=0, allow_inf_nan=False)]
"""A finite number > 0: learning rates, weights of what must count."""
NonNegativeNumber = Annotated[float, _NUMBER, Field(ge=0, allow_inf_nan=False)]
"""A finite number >= 0: penalties, weights that may be off."""
Ratio = Annotated[float, _NUMBER, Field(ge=0, le=1)]
"""A share in [0, 1]."""
RatioBelowOne = Annotated[float, _NUMBER, Field(ge=0, lt=1)]
"""A share in [0, 1): something must be left, as with dropout."""
PositiveRatio = Annotated[float, _NUMBER, Field(gt=0, le=1)]
"""A share in (0, 1]."""
InnerRatio = Annotated[float, _NUMBER, Field(gt=0, lt=1)]
"""A share in (0, 1)."""

_KINDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def check_limits(config: object, prefix: str) -> None:
    """Refuse a config whose values are not what its types say; called by each config's `__post_init__`.

    Args:
        config: A dataclass instance whose limits stand in its annotations.
        prefix: Name of the config in YAML, such as `backbone.lora`; empty for the whole.

    Raises:
        ConfigError: With the key's full name, what it must be, and what it is.
    """
    kind: type = type(config)
    for name, adapter in _adapters(kind).items():
        try:
            adapter.validate_python(getattr(config, name), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(explain(first, kind, path=(name, *first["loc"]), prefix=prefix)) from error


def explain(error: typing.Mapping[str, Any], kind: type, *, path: tuple[str | int, ...], prefix: str = "") -> str:
    """What a person needs to know of one of pydantic's errors.

    Args:
        error: An entry of `ValidationError.errors()`.
        kind: The config that was made.
        path: Where in it.
        prefix: Name of the config in YAML.
    """
    key = ".".join(str(part) for part in (prefix, *path) if part != "")
    hint = hint_at(kind, path)
    if hint is None:
        return f"{key or 'config'}: {error['msg']}, got {shown(error['input'])}"
    if error["type"] == "missing":
        return f"{key} is missing: it must be {expected(hint)}"
    if error["type"] in _BOUNDS and error["input"] == error["input"]:  # NaN is no number at all
        return f"{key} must be {limits_in_words(hint)}, got {shown(error['input'])}"
    if error["type"] == "value_error":
        return f"{key} {error['ctx']['error']}, got {shown(error['input'])}"
    return f"{key} must be {expected(hint)}, got {shown(error['input'])}"


def hint_at(kind: type, path: tuple[str | int, ...]) -> object:
    """The annotation of a setting by its path in a tree of configs; None where the path leads nowhere."""
    hint: object = kind
    for part in path:
        bare = bare_type(hint)
        if isinstance(part, int):
            hint = next(iter(typing.get_args(bare)), None)
        elif isinstance(bare, type) and dataclasses.is_dataclass(bare):
            hint = hints_of(bare).get(part)
        else:
            return None
    return hint


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Annotations of a config's fields, limits included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in hints_of(kind).items()}


def bare_type(hint: object) -> object:
    """A hint without its limits and without `| None`."""
    if typing.get_origin(hint) is Annotated:
        return bare_type(typing.get_args(hint)[0])
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return bare_type(options[0]) if len(options) == 1 else hint
    return hint


def expected(hint: object) -> str:
    """What a setting must be, in words: `a whole number >= 1`."""
    bare = bare_type(hint)
    if typing.get_origin(bare) is Literal:
        words = "one of " + ", ".join(str(option) for option in typing.get_args(bare))
    elif typing.get_origin(bare) is tuple:
        words = "a list, such as [a, b]"
    elif isinstance(bare, type) and dataclasses.is_dataclass(bare):
        words = "settings as `key: value`"
    else:
        words = _KINDS.get(bare, str(bare))
    return f"{words} {limits_in_words(hint)}".strip()


def limits_in_words(hint: object) -> str:
    """The limits of a type, such as `>= 1` or `in [0, 1)`; empty without any."""
    if typing.get_origin(hint) is not Annotated:
        return next((limits_in_words(option) for option in typing.get_args(hint) if limits_in_words(option)), "")
    fields = [extra for extra in typing.get_args(hint)[1:] if isinstance(extra, FieldInfo)]
    found = {name: value for item in fields for part in item.metadata for name, value in vars_of(part).items()}
    low = next(((sign, found[name]) for name, sign in (("ge", ">="), ("gt", ">")) if name in found), None)
    high = next(((sign, found[name]) for name, sign in (("le", "<="), ("lt", "<")) if name in found), None)
    if low and high:
        return f"in {'[' if low[0] == '>=' else '('}{low[1]}, {high[1]}{']' if high[0] == '<=' else ')'}"
    return " ".join(f"{sign} {value}" for sign, value in filter(None, (low, high)))


def vars_of(limit: object) -> dict[str, Any]:
    """The bounds in one piece of pydantic's metadata, by name."""
    return {name: getattr(limit, name) for name in ("ge", "gt", "le", "lt") if hasattr(limit, name)}


def shown(value: object) -> str:
    """A found value in a message: short, and in words where Python's own would puzzle."""
    if value is None:
        return "nothing"
    if isinstance(value, datetime.date):
        return f"the date {value} (write texts that look like dates in quotes)"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
