"""A page of the documentation as a reader follows it: its commands and its Python blocks, in order."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from llara.cli import app

ROOT = Path(__file__).resolve().parents[2]
QUICK = (
    "train.epochs=0.02", "train.validations=1", "train.batch_size=8", "train.micro_batch_size=8",
    "backbone.adapt.steps=1", "backbone.adapt.batch_size=2",
    "backbone.nano={hidden_size: 32, num_layers: 1, num_heads: 2, vocabulary: 2000}", "recommender.fit.epochs=1",
    "prior_folds=2",
    "data.candidates.draws=2", "evaluate.validation_limit=10", "evaluate.rows_limit=20", "evaluate.examples=1",
)  # fmt: skip
"""Settings that make a run of seconds."""
PRACTICE = "practice.steps=3"
"""For settings that practise."""


@dataclass(frozen=True)
class Block:
    """A code block of a page: its language, empty for commands, and what stands in it."""

    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """All code blocks, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found]


def commands_in(block: Block) -> list[list[str]]:
    """The words of each `llara` command of a block; a backslash continues a line."""
    lines = block.text.replace("\\\n", " ").splitlines() if not block.language else []
    return [shlex.split(line)[1:] for line in lines if line.startswith("llara ")]


def run_command(words: list[str]) -> str:
    """Run one command with settings of seconds; what it printed."""
    quick = (
        [word for setting in (*QUICK, PRACTICE) for word in ("--set", setting)] if words[0] in ("train", "plan") else []
    )
    result = CliRunner().invoke(app, [*words, *quick])
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.output
