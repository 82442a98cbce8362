"""What needs no data and no model is refused before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

_REFUSE = """
import sys
sys.argv = ["llara", *sys.argv[1:]]
from llara.cli import main
try:
    main()
except SystemExit as stop:
    heavy = {"torch", "transformers", "polars", "numpy"} & set(sys.modules)
    assert not heavy, heavy
    raise
"""


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("recommend", "runs/none"), "either --user ID or --history"),
        (("recommend", "runs/none", "--user", "1", "--history", "2"), "not both"),
        (("recommend", "runs/none", "--user", "1"), "runs/none is no run folder"),
        (("evaluate", "runs/none", "--task", "train"), "--task must be sequential"),
        (("evaluate", "runs/none", "--rows", "all"), "--rows must be last or dense"),
        (("evaluate", "runs/none", "--scorer", "magic"), "--scorer must be"),
        (("evaluate", "runs/none", "--draws", "0"), "--draws must be at least 1"),
        (("evaluate", "runs/none"), "runs/none is no run folder"),
        (("train", "none.yaml"), "none.yaml does not exist"),
        (("plan", "none.yaml"), "none.yaml does not exist"),
    ],
)
def test_wrong_arguments_are_refused_without_importing_torch(
    tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _REFUSE, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert part in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_evaluation_looks_at_every_run_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    arguments = ("evaluate", "run", "--against", "other")
    done = subprocess.run(
        [sys.executable, "-c", _REFUSE, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, "other is no run folder" in done.stderr) == (2, True)
