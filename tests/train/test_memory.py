"""Rows of a forward pass: chosen from free memory unless set, and kept for the rest of a run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llara.data import Examples
from llara.model import Llara
from llara.train import CurriculumConfig, ObjectiveConfig, StepRecord, TrainConfig, Trainer
from llara.train.memory import free_bytes, kept_bytes, rows_that_fit
from llara.train.state import trained_weights

Build = Callable[..., Llara]
MakeExamples = Callable[[int], Examples]


@given(st.integers(1, 10**9), st.integers(0, 10**12), st.integers(1, 300))
def test_parts_of_a_step_are_as_equal_as_can_be_and_fit(row_bytes: int, free: int, batch_size: int) -> None:
    rows = rows_that_fit(row_bytes, free=free, batch_size=batch_size)
    assert 1 <= rows <= batch_size
    assert rows == 1 or rows * row_bytes <= 0.4 * free
    parts = -(-batch_size // rows)
    assert rows * parts - batch_size < parts, "a part could be smaller by one"
    if rows < batch_size:
        assert -(-batch_size // (parts - 1)) * row_bytes > 0.4 * free - row_bytes, "fewer parts would have fitted"


def test_what_a_pass_keeps_is_counted_without_the_weights() -> None:
    weight = torch.randn(100, 100, requires_grad=True)
    rows = torch.randn(7, 100)

    def loss() -> torch.Tensor:
        return torch.tanh(rows @ weight).sum()

    assert kept_bytes(loss, [weight]) == (7 * 100 + 7 * 100) * 4  # the rows, and tanh's result


def test_there_is_free_memory() -> None:
    assert 0 < free_bytes(torch.device("cpu")) < 2**50


@pytest.fixture
def meminfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the system say how many kilobytes are free."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    def say(kilobytes: int) -> None:
        others = dict.fromkeys(("Buffers", "Cached", "Shmem", "Active", "Inactive"), 0)
        lines = {"MemTotal": 99_999_999, "MemFree": kilobytes, "MemAvailable": kilobytes, **others}
        text = "".join(f"{name}: {value} kB\n" for name, value in lines.items())
        (tmp_path / "meminfo").write_text(text, encoding="ascii")

    return say


CONFIG = TrainConfig(
    epochs=2, batch_size=8, validations=2, num_negatives=4, objective=ObjectiveConfig(name="listwise"),
    curriculum=CurriculumConfig(kind="direct"),
)  # fmt: skip


def test_rows_at_once_follow_free_memory_and_teach_the_same(
    tiny_llara: Build, make_examples: MakeExamples, meminfo: Callable[[int], None]
) -> None:
    weights, chosen = [], []
    for kilobytes in (1, 20_000_000):
        meminfo(kilobytes)
        llara = tiny_llara()
        trainer = Trainer(llara, make_examples(16), config=CONFIG, validate=lambda _: 0.0)
        trainer.train()
        chosen.append(trainer.rows_at_once)
        weights.append(trained_weights(llara))
    assert chosen == [1, 8]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=1e-5, msg=name)


def test_between_one_and_all_a_pass_keeps_what_was_foreseen(
    tiny_llara: Build, make_examples: MakeExamples, meminfo: Callable[[int], None]
) -> None:
    trainer = Trainer(tiny_llara(), make_examples(16), config=CONFIG, validate=lambda _: 0.0)
    four = trainer.kept_by(np.arange(4))
    meminfo(int(four / 0.4 / 1024))
    assert 2 <= trainer.rows_that_fit() <= 6


def test_what_is_set_is_taken_whatever_is_free(
    tiny_llara: Build, make_examples: MakeExamples, meminfo: Callable[[int], None]
) -> None:
    meminfo(1)
    config = replace(CONFIG, micro_batch_size=5)
    trainer = Trainer(tiny_llara(), make_examples(8), config=config, validate=lambda _: 0.0)
    trainer.train()
    assert trainer.rows_at_once == 5


def test_a_resumed_run_goes_on_with_as_many_rows(
    tiny_llara: Build, make_examples: MakeExamples, meminfo: Callable[[int], None], tmp_path: Path
) -> None:
    def stop(record: StepRecord) -> None:
        if record.step == 1:
            raise KeyboardInterrupt

    def trainer(llara: Llara, on_step: Callable[[StepRecord], None] | None) -> Trainer:
        rows = make_examples(16)
        return Trainer(llara, rows, config=CONFIG, validate=lambda _: 0.0, folder=tmp_path / "run", on_step=on_step)

    meminfo(1)
    with pytest.raises(KeyboardInterrupt):
        trainer(tiny_llara(), stop).train()
    meminfo(20_000_000)
    resumed = trainer(tiny_llara(), None)
    resumed.train(resume=True)
    assert resumed.rows_at_once == 1
