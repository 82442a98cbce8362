"""Every command and every Python block of the README runs, in order, on data like the reader's own."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from llara.cli import app
from tests.docs.walking import QUICK, ROOT, blocks_of, run_command
from tests.pipeline.publishing import packed_folder, publish

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(ROOT / "README.md")


def commands(name: str) -> list[list[str]]:
    lines = [line for block in BLOCKS if not block.language for line in block.text.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(f"{name} ")]


@pytest.fixture(scope="module")
def workplace(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> Iterator[Path]:
    """A log and a catalog under the README's names, the repository's configs, and a tiny SmolLM2 to fetch."""
    folder = tmp_path_factory.mktemp("reader")
    rng = np.random.default_rng(0)
    rows = [
        {"user": f"u{user}", "item": f"i{item + 1}", "time": 1_600_000_000 + 1000 * user + place}
        for user in range(1, 61)
        for place, item in enumerate(rng.permutation(60)[:9])
    ]
    pl.DataFrame(rows).write_csv(folder / "LOG.csv")
    titles = {"item": [f"i{i}" for i in range(1, 61)], "title": [f"Thing number {i}" for i in range(1, 61)]}
    pl.DataFrame(titles).write_csv(folder / "ITEMS.csv")
    shutil.copytree(ROOT / "configs", folder / "configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index = tmp_path_factory.mktemp("index")
        model = packed_folder(index / "model", tiny_tokenizer("chat"))
        publish("smollm2-135m", "model.zip", model, folder=index, url=index.as_uri(), patch=patch)
        yield folder


def test_readme_shows_the_two_commands_and_the_makefile_has_them() -> None:
    targets = [arguments[1] for arguments in commands("make")]
    assert targets == ["quickstart", "test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_every_llara_command_of_the_readme_runs(workplace: Path) -> None:
    assert len(commands("llara")) >= 7
    for _, *arguments in commands("llara"):
        run_command(arguments)
    assert (workplace / "runs" / "mine" / "report.html").is_file()
    assert (workplace / "histograms.png").is_file()
    assert (workplace / "backbones" / "smollm2-135m" / "model.safetensors").is_file()


def test_every_python_block_of_the_readme_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (workplace / "runs" / "mine").is_dir(), "the commands above make the run"
    for block in BLOCKS:
        if block.language == "python":
            exec(compile(block.text, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("1 i")


def test_quickstart_compares_all_models_on_the_same_candidates(workplace: Path) -> None:
    quick = [word for setting in QUICK for word in ("--set", setting)]
    result = CliRunner().invoke(app, ["quickstart", "--output", str(workplace / "quick"), *quick])
    assert result.exit_code == 0, (result.output, result.exception)
    for shown in ("popularity", "sasrec", "text-only", "hybrid", "HR@1", "NDCG@10", "own data", "report"):
        assert shown in result.output
    again = CliRunner().invoke(app, ["quickstart", "--output", str(workplace / "quick")])
    assert "--force" in str(again.exception)


def test_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert missing == []
