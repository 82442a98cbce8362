"""A tiny world, driven through the command line: a log of 40 users, and runs trained on it once per session."""

import _thread
import contextlib
import io
import json
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

NUM_USERS, NUM_ITEMS, PER_USER, JUMPS = 40, 32, 8, 0.3


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Stdout, which must be one JSON object and nothing else."""
        assert self.code == 0, self.err
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert self.out.count("\n") == 1
        return found

    def refused(self) -> str:
        """The message on stderr of a command that refused its input."""
        assert self.code == 2, (self.code, self.err)
        assert "Traceback" not in self.err
        assert "Error" in self.err
        return " ".join(self.err.split())


@contextmanager
def _arguments(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = ["llara", *arguments]
    try:
        yield
    finally:
        sys.argv = before


def llara(*arguments: str | Path) -> Outcome:
    """Run the command line in this process as its entry point does."""
    from llara.cli import console, main

    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        _arguments([str(argument) for argument in arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        console.setup_logging()
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except Exception:  # the interpreter would print it and exit with 1
            traceback.print_exc()
            code = 1
    return Outcome(code, out.getvalue(), err.getvalue())


@contextmanager
def ctrl_c_when(file: Path) -> Iterator[None]:
    """Within the block, interrupt this process as soon as a file is there."""
    done = threading.Event()

    def wait() -> None:
        while not done.is_set() and not file.exists():
            time.sleep(0.002)
        if not done.is_set():
            _thread.interrupt_main()

    watcher = threading.Thread(target=wait)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts; a process started in the background of a script begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def write_log(folder: Path) -> tuple[Path, Path]:
    """A log in which users walk along a hidden order of the catalog and jump now and then, and the items file."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    log, items = folder / "log.csv", folder / "items.csv"
    lines = ["user_id,item_id,timestamp"]
    hidden_order = rng.permutation(NUM_ITEMS)
    for user in range(NUM_USERS):
        walk = [int(rng.integers(NUM_ITEMS))]
        while len(walk) < PER_USER:
            place = int(rng.integers(NUM_ITEMS)) if rng.random() < JUMPS else (walk[-1] + 1) % NUM_ITEMS
            if place not in walk:
                walk.append(place)
        times = (10_000 * user + 10 * step for step in range(PER_USER))
        lines += [f"{user + 1},{101 + hidden_order[place]},{moment}" for place, moment in zip(walk, times, strict=True)]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    titles = [f"Story {number} [bold]" if number % 7 == 0 else f"Story {number}" for number in range(NUM_ITEMS)]
    rows = [f'{101 + number},"{title}",{1980 + number}' for number, title in enumerate(titles)]
    items.write_text("\n".join(["item_id,title,year", *rows]) + "\n", encoding="utf-8")
    return log, items


def tiny_settings(folder: Path, name: str) -> dict[str, Any]:
    """A run of seconds: 12 steps of a one-layer backbone."""
    return {
        "output": str(folder / name),
        "data": {"folder": str(folder / "data"), "candidates": {"num_negatives": 4, "draws": 2}},
        "recommender": {"embedding_dim": 16, "fit": {"epochs": 2}},
        "backbone": {"nano": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "vocabulary": 320}},
        "train": {
            "epochs": 1.0,
            "batch_size": 16,
            "micro_batch_size": 8,
            "num_negatives": 4,
            "validations": 3,
            "objective": {"name": "sum"},
            "optimizer": {"learning_rate": 0.01},
        },
        "evaluate": {"validation_draws": 1, "generation_draws": 1, "batch_size": 8, "examples": 2},
    }


@dataclass(frozen=True)
class World:
    """Paths of the tiny world, and the command line."""

    folder: Path

    def llara(self, *arguments: str | Path) -> Outcome:
        """Run the command line."""
        return llara(*arguments)

    def contents(self, folder: Path) -> dict[str, bytes]:
        """Every file below a folder, by relative path."""
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def sign(self, run: Path) -> None:
        """Let a run that a test has changed on purpose pass for one that was left so."""
        from llara.run.integrity import record_files

        record_files(run)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def hybrid(self) -> Path:
        return self.folder / "hybrid"

    @property
    def text_only(self) -> Path:
        return self.folder / "text-only"

    def config(self, name: str) -> Path:
        """The YAML file of a run that would go to `name`."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(tiny_settings(self.folder, name)), encoding="utf-8")
        return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The log, imported."""
    world = World(tmp_path_factory.mktemp("world"))
    log, items = write_log(world.folder)
    assert llara("data", "import", log, world.data, "--items", items, "--noun", "book").code == 0
    return world


@dataclass(frozen=True)
class Trained:
    """A hybrid run (printed as JSON) and a text-only run (printed as a table)."""

    world: World
    hybrid: Outcome
    text_only: Outcome


@pytest.fixture(scope="session")
def trained(dataset: World) -> Trained:
    """Both runs, made once."""
    hybrid = llara("train", dataset.config("hybrid"), "--json")
    text = llara("train", dataset.config("text-only"), "--set", "train.curriculum.kind=text-only")
    assert (hybrid.code, text.code) == (0, 0), hybrid.err + text.err
    return Trained(dataset, hybrid, text)


@pytest.fixture
def world(trained: Trained) -> World:
    """The world with both runs."""
    return trained.world
