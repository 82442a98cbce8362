"""Every page, or part of a page, that is made from the code or from stored measurements."""

import json
from pathlib import Path
from typing import Any

from docs.generate import api, numbers, prompt, results, settings, tree
from docs.generate.marks import filled

ROOT = Path(__file__).resolve().parents[2]


def current() -> dict[Path, str]:
    """What the generated pages should hold now, by path."""
    return {
        ROOT / "docs" / "settings.md": settings.settings_page(),
        ROOT / "docs" / "api.md": api.reference_page(),
        ROOT / "README.md": _page("README.md", _readme()),
        ROOT / "docs" / "results.md": _page("docs/results.md", _results()),
        ROOT / "docs" / "architecture.md": _page("docs/architecture.md", {"tree": _code(tree.source_tree(ROOT))}),
    }


def _page(name: str, parts: dict[str, str]) -> str:
    page = (ROOT / name).read_text(encoding="utf-8")
    for mark, content in parts.items():
        page = filled(page, mark, content)
    return page


def _readme() -> dict[str, str]:
    return {
        "prompt": _code(prompt.annotated_prompt()),
        "results": results.readme_table(_stored("real_results")),
        "scale": numbers.scale(_stored("data_scale")),
        "speed": numbers.speed(_stored("speed")),
        "tree": _code(tree.package_tree(ROOT)),
    }


def _results() -> dict[str, str]:
    return {f"results-{key}": results.dataset_table(entry) for key, entry in _stored("real_results").items()}


def _stored(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _code(text: str) -> str:
    return f"```text\n{text}\n```"
