"""Every setting of a run: key, default, what is accepted, and the docstring below its field."""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic.fields import FieldInfo

from docs.generate.marks import table
from llara.run.config import RunConfig

_INTRODUCTION = """# Settings

Made from the docstrings and types of the configs by `make docs`. A setting is written in YAML as nested keys, on the
command line as `--set train.epochs=2`. Unknown and doubled keys are refused, with the nearest valid name, and so are
values outside of what is accepted. What is not said has its default. Commented examples: `configs/`.
"""
_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def settings_page() -> str:
    """The page: one table for each group of settings, in the order of `RunConfig`."""
    return "\n".join([_INTRODUCTION, *_sections(RunConfig, ""), ""]).rstrip() + "\n"


def _sections(config: type, prefix: str) -> list[str]:
    hints = typing.get_type_hints(config, include_extras=True)
    said, rows, inner = field_docstrings(config), [], []
    for item in dataclasses.fields(config):
        nested = nested_config(hints[item.name])
        is_list = typing.get_origin(hints[item.name]) is tuple
        if nested is not None and type(None) in typing.get_args(hints[item.name]):
            about_it = f"settings as in [`{_own_section(nested)}`](#{_own_section(nested).replace('.', '')})"
            rows.append([f"`{prefix}{item.name}`", _default(item), about_it, said[item.name]])
            continue
        if nested is None or is_list:
            rows.append([f"`{prefix}{item.name}`", _default(item), _accepted(hints[item.name]), said[item.name]])
        if nested is not None:
            inner.append((nested, f"{prefix}{item.name}{'[]' if is_list else ''}."))
    heading = f"## `{prefix.rstrip('.')}`" if prefix else "## At the top"
    about = _one_line(inspect.getdoc(config) or "")
    lines = [heading, "", about, "", table(["setting", "default", "accepts", "meaning"], rows, left=4), ""]
    for nested, where in inner:
        lines.extend(_sections(nested, where))
    return lines


def _own_section(wanted: type, config: type = RunConfig, prefix: str = "") -> str:
    """The key under which a config has its own section; empty if it has none."""
    for name, hint in typing.get_type_hints(config, include_extras=True).items():
        if hint is wanted:
            return f"{prefix}{name}"
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found = _own_section(wanted, hint, f"{prefix}{name}.")
            if found:
                return found
    return ""


def field_docstrings(config: type) -> dict[str, str]:
    """The string below each field of a config class and of those that it extends; empty where there is none."""
    said = {item.name: "" for item in dataclasses.fields(config)}
    for kind in reversed([base for base in config.__mro__ if dataclasses.is_dataclass(base)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, [*body.body[1:], ast.Pass()], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                said[field.target.id] = _one_line(_text_of(below))
    return said


def _text_of(statement: ast.stmt) -> str:
    """What a statement says that is nothing but a string; empty for any other."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else ""
    return ""


def nested_config(hint: object) -> type | None:
    """The config class in a type, also behind limits, `| None` or in a tuple."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint.__module__.startswith("llara."):
        return hint
    return next((found for part in typing.get_args(hint) if (found := nested_config(part)) is not None), None)


def _accepted(hint: object) -> str:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        limits = [limit for extra in parts[1:] for limit in _limits(extra)]
        return " ".join([_accepted(parts[0]), " and ".join(limits)]).strip()
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if part is type(None) else _accepted(part) for part in parts)
    if origin is tuple:
        return f"list of {_accepted(parts[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return "keys and values"
    return _WORDS.get(hint, "settings below") if isinstance(hint, type) else ""


def _limits(extra: object) -> list[str]:
    pieces = extra.metadata if isinstance(extra, FieldInfo) else [extra]
    found = []
    for piece in pieces:
        for name, sign in _BOUNDS.items():
            bound = getattr(piece, name, None)
            if bound is not None:
                found.append(f"{sign} {bound:g}")
    return found


def _default(item: "dataclasses.Field[Any]") -> str:
    if item.default is not dataclasses.MISSING:
        return _shown(item.default)
    if item.default_factory is not dataclasses.MISSING:
        return _shown(item.default_factory())
    return "**needed**"


def _shown(value: object) -> str:
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple) and dataclasses.is_dataclass(value[0]):
        return f"{len(value)} phases"
    if isinstance(value, float):
        return f"`{value:g}`"
    text = str(value).replace("|", "\\|")
    return f"`{text}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
