"""The tree of the source code, one line a file: what the first line of its docstring says."""

import ast
from pathlib import Path


def source_tree(root: Path) -> str:
    """Every module of `src/llara`, indented by package, with its first line.

    Raises:
        ValueError: If a module has no docstring.
    """
    package = root / "src" / "llara"
    return "\n".join(["llara/", *_lines(package, 1)])


def package_tree(root: Path) -> str:
    """The packages alone."""
    package = root / "src" / "llara"
    folders = sorted(path for path in package.iterdir() if (path / "__init__.py").is_file())
    return "\n".join(["src/llara/", *(_line(f"{folder.name}/", folder / "__init__.py", 1) for folder in folders)])


def _lines(folder: Path, depth: int) -> list[str]:
    lines = []
    inside = sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name))
    for path in inside:
        if path.is_dir() and (path / "__init__.py").is_file():
            lines.append(_line(f"{path.name}/", path / "__init__.py", depth))
            lines.extend(_lines(path, depth + 1))
        elif path.suffix == ".py" and path.name != "__init__.py":
            lines.append(_line(path.name, path, depth))
    return lines


def _line(name: str, module: Path, depth: int) -> str:
    said = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not said:
        raise ValueError(f"{module}: expected a docstring whose first line says what the module is for.")
    return f"{'  ' * depth + name:<30} {said.splitlines()[0].rstrip('.')}"
