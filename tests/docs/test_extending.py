"""The parts of docs/extending.md work as written: one file registers them, and a run is trained and judged with all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.docs.walking import ROOT, blocks_of
from tests.pipeline.conftest import llara, tiny_settings, write_log

PAGE = ROOT / "docs" / "extending.md"
USING = """
import json
import sys
from pathlib import Path

import my_parts  # registers
from llara import Run
from llara.run.config import parse_config

run = Run.train(parse_config(json.loads(Path(sys.argv[1]).read_text())))
two = run.evaluate(task="two", scorer="listwise")
newest = run.evaluate(scorer="newest", output=Path("newest"))
print(json.dumps([found.evaluated.report.summary() for found in (two, newest)]))
"""


def settings(folder: Path) -> dict[str, Any]:
    """A tiny run that names every part of the page."""
    log, items = write_log(folder)
    made = llara("data", "import", log, folder / "data", "--items", items, "--noun", "item")
    assert made.code == 0, made.err
    tiny = tiny_settings(folder, "run")
    tiny["train"]["objective"] = {"name": "margin", "settings": {"margin": 0.5}}
    tiny["recommender"] |= {"name": "decay", "settings": {"decay": 0.25}}
    tiny["prompt"] = {"templates": ["{pace} Seen:{history}\nOne of:{candidates}\nNext:"]}
    return tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own-parts")
    parts = [block.text for block in blocks_of(PAGE) if block.language == "python"]
    (folder / "my_parts.py").write_text("\n".join(parts), encoding="utf-8")
    (folder / "use_parts.py").write_text(USING, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings(folder)), encoding="utf-8")
    return folder


def test_a_run_is_trained_and_judged_with_every_part_of_the_page(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "use_parts.py", "settings.json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    two, newest = json.loads(done.stdout.strip().splitlines()[-1])
    assert two["num_candidates"] == 2
    assert [model["name"] for model in two["models"]][:2] == ["popularity", "decay"]
    for model in two["models"]:
        assert model["lift"] == pytest.approx(2 * model["hr@1"])
    weights = load_file(folder / "run" / "projector.safetensors")
    assert any(name.startswith("slots.pace") for name in weights), sorted(weights)
    assert "order of the catalog" in [model["name"] for model in newest["models"]]
