"""The Python reference: what each public package offers, with signatures and docstrings."""

import importlib
import inspect
import re

_INTRODUCTION = """# Python reference

Made from signatures and docstrings by `make docs`. The names of `llara` itself are promised; those of the packages are
what its commands are built on.
"""
_PACKAGES = (
    "llara", "llara.data", "llara.ingest", "llara.leakage", "llara.recommender", "llara.prompt", "llara.model",
    "llara.train", "llara.evaluate", "llara.run", "llara.serve",
)  # fmt: skip
_LONGEST = 110
_FUNCTION = re.compile(r"<function (\w+) at 0x[0-9a-f]+>")
"""A function as a default: its address changes from run to run."""


def reference_page() -> str:
    """One section for each package: its own names in full, names that stand in another section as a link."""
    lines = [_INTRODUCTION]
    for name in _PACKAGES:
        package = importlib.import_module(name)
        lines.extend([f"## `{name}`", "", (inspect.getdoc(package) or "").splitlines()[0], ""])
        for public in sorted(getattr(package, "__all__", ()), key=str.lower):
            lines.extend(_entry(public, getattr(package, public), short=name != "llara"))
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _entry(name: str, value: object, *, short: bool) -> list[str]:
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return []
    said = inspect.getdoc(value) or ""
    if short:
        return [f"- **`{name}`**`{_signature(value)}`: {_first_sentence(said)}"]
    lines = [f"### `{name}`", "", f"```text\n{name}{_typed_signature(value)}\n```", "", f"```text\n{said}\n```", ""]
    if inspect.isclass(value):
        lines.extend(_methods(value))
    return [*lines, ""]


def _methods(kind: type) -> list[str]:
    lines = []
    for name, member in sorted(vars(kind).items()):
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        function = member.fget if isinstance(member, property) else function
        if not name.startswith("_") and inspect.isfunction(function):
            shown = "" if isinstance(member, property) else _signature(function)
            lines.append(f"- `{name}{shown}`: {_first_sentence(inspect.getdoc(function) or '')}")
    return lines


def _signature(value: object) -> str:
    """Names and defaults, on one line."""
    signature = _inspected(value)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    shown = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    shown = _FUNCTION.sub(r"\1", shown)
    return shown if len(shown) <= _LONGEST else "(...)"


def _typed_signature(value: object) -> str:
    """With types, a line for each parameter."""
    signature = _inspected(value)
    marked: list[str] = []
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and "*" not in marked:
            marked.append("*")
        marked.append(_short(_FUNCTION.sub(r"\1", str(each))))
    lines = "".join(f"\n    {each}," for each in marked)
    returned = signature.return_annotation
    has_return = inspect.isfunction(value) and returned is not inspect.Signature.empty
    text = returned if isinstance(returned, str) else inspect.formatannotation(returned)
    return f"({lines}\n)" + (f" -> {_short(text)}" if has_return else "")


def _inspected(value: object) -> inspect.Signature:
    assert callable(value)
    return inspect.signature(value)


def _short(text: str) -> str:
    """Types by their last name: `llara.data.folder.Dataset` is `Dataset`."""
    return re.sub(r"\b(?:[a-z_0-9]+\.)+(?=[A-Za-z])", "", text)


def _first_sentence(text: str) -> str:
    first = " ".join(text.partition("\n\n")[0].split())
    return first or "no description."
