"""How settings are read: YAML without doubled keys, and `--set KEY=VALUE` by the type of its key."""

import dataclasses
import difflib
import re
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from llara.data.limits import bare_type, hint_at, hints_of, shown
from llara.errors import ConfigError

_WORDS: Mapping[type, str] = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}


class _Loader(yaml.SafeLoader):
    """YAML takes the last of doubled keys without a word; here they are refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node.

        Raises:
            ConfigError: If a key is given twice.
        """
        first: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if key.value in first:
                    raise ConfigError(
                        f"line {line}: '{key.value}' is given a second time, first in line {first[key.value]}. "
                        "Keep one of them."
                    )
                first[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> object:
    """Plain values of a YAML text.

    Raises:
        ConfigError: If a key is given twice; the message has the line.
        yaml.YAMLError: If it is no YAML.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_settings(path: Path) -> dict[str, Any]:
    """Settings of a YAML file as nested mappings, not checked any further.

    Raises:
        ConfigError: If it is no YAML, no mapping, or a key is given twice.
    """
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except ConfigError as error:
        raise ConfigError(f"{path} {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else _WORDS.get(type(content), shown(content))
        raise ConfigError(f"{path}: expected settings as `key: value`, found {found}.")
    return content


@dataclass(frozen=True)
class Override:
    """One `--set KEY=VALUE`.

    Attributes:
        text: As the shell gave it.
        path: The key's parts.
        value: Read by the type of the key.
    """

    text: str
    path: tuple[str, ...]
    value: object

    def apply(self, content: dict[str, Any]) -> None:
        """Put the value into nested mappings; sections that are not there, or empty, are made."""
        place = content
        for parent in self.path[:-1]:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
            if not isinstance(place, dict):
                raise ConfigError(f"--set {self.text}: '{parent}' holds a value, not settings.")
        place[self.path[-1]] = self.value

    def is_named_in(self, message: str) -> bool:
        """Whether a message is about this key, or one below it."""
        return re.search(rf"(?<![\w.]){re.escape('.'.join(self.path))}(?!\w)", message) is not None


def read_override(text: str, kind: type) -> Override:
    """Read one `KEY=VALUE` of `--set`: texts as they are, lists and settings as YAML in one line.

    Args:
        text: As the shell gave it. A text value may stand in quotes, which it loses.
        kind: The config whose keys are known.

    Raises:
        ConfigError: If it is no `KEY=VALUE`, the key is unknown, or a list is no YAML.
    """
    key, separator, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not separator or not all(path):
        raise ConfigError(f"--set expects key=value, such as train.epochs=2; found '{text}'.")
    known: object = kind
    for place, part in enumerate(path):
        bare = bare_type(known)
        if not (isinstance(bare, type) and dataclasses.is_dataclass(bare)):
            if _is_free(bare):  # whoever registered it knows its keys
                return Override(text, path, _plain(value, text))
            above = ".".join(path[:place])
            if typing.get_origin(bare) is tuple:
                raise ConfigError(f"--set {text}: '{above}' is a list: give it as a whole, --set '{above}=[...]'.")
            raise ConfigError(f"--set {text}: '{above}' holds a value, not settings.")
        if part not in hints_of(bare):
            raise ConfigError(f"--set {text}: {_unknown(part, bare, prefix=path[:place])}")
        known = hint_at(kind, path[: place + 1])
    return Override(text, path, _value(value, known, text))


def _value(value: str, hint: object, text: str) -> object:
    """What the shell gave, by the type of its key."""
    bare = bare_type(hint)
    optional = type(None) in typing.get_args(hint)
    if optional and value in ("", "null"):
        return None
    if bare in (str, Path) or typing.get_origin(bare) is Literal:
        return _without_quotes(value)
    if bare in (int, float):
        return _number(value)
    if bare is bool:
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return _plain(value, text)


def _without_quotes(value: str) -> str:
    """`"{title}"` written for YAML in the shell's own quotes is the text between."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        try:
            inner = yaml.safe_load(value)
        except yaml.YAMLError:
            return value
        if isinstance(inner, str):
            return inner
    return value


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value  # refused with the key's limits


def _plain(value: str, text: str) -> object:
    try:
        return read_yaml(value)
    except ConfigError as error:
        raise ConfigError(f"--set {text}: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML, such as [a, b] or {{a: 1}}.") from error


def refuse_unknown_keys(content: object, kind: type, *, prefix: tuple[str, ...] = ()) -> None:
    """Raise ConfigError for the first key that no config knows, with the nearest valid name."""
    if not isinstance(content, Mapping):
        return  # refused where it is read
    for key, value in content.items():
        if key not in hints_of(kind):
            raise ConfigError(_unknown(key, kind, prefix=prefix))
        inner = bare_type(hints_of(kind)[key])
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            refuse_unknown_keys(value, inner, prefix=(*prefix, key))
        elif typing.get_origin(inner) is tuple and isinstance(value, list | tuple):
            item = typing.get_args(inner)[0]
            for place, entry in enumerate(value):
                if isinstance(item, type) and dataclasses.is_dataclass(item):
                    refuse_unknown_keys(entry, item, prefix=(*prefix, key, str(place)))


def _unknown(key: object, kind: type, *, prefix: tuple[str, ...]) -> str:
    known = list(hints_of(kind))
    name = ".".join((*prefix, str(key)))
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    remedy = f"Did you mean '{'.'.join((*prefix, near[0]))}'?" if near else f"Valid here: {', '.join(known)}."
    return f"unknown key '{name}'. {remedy}"


def _is_free(hint: object) -> bool:
    return typing.get_origin(hint) in (dict, Mapping)
