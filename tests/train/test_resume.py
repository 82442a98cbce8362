"""A resumed run is the run that was never interrupted: same losses, same records, same weights."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llara.data import Examples
from llara.errors import CheckpointError
from llara.model import Llara, score_candidates
from llara.train import (
    METRICS_FILE,
    ObjectiveConfig,
    Record,
    StepRecord,
    TrainConfig,
    Trainer,
    TrainReport,
    read_metrics,
)
from llara.train.state import trained_weights

Build = Callable[..., Llara]
STEPS = 12
CONFIG = TrainConfig(
    epochs=2,  # of 6 steps
    batch_size=4,
    micro_batch_size=2,
    num_negatives=4,
    validations=4,  # after 3, 6, 9 and 12 steps
    objective=ObjectiveConfig(name="sum"),
)
Start = Callable[..., tuple[Trainer, Llara]]


@pytest.fixture
def start(tiny_llara: Build, make_examples: Callable[[int], Examples]) -> Start:
    """A trainer around a fresh model with dropout, which stops as if by Ctrl-C after the step `interrupt_after`."""
    examples = make_examples(24)

    def validate(llara: Llara) -> float:
        items = [[target, *({1, 2, 3, 4} - {target})][:4] for target in examples.target.tolist()]
        scores = score_candidates(llara, examples.histories(), items, scorer="listwise")
        return float(((scores > scores[:, :1]).sum(axis=1) < 2).mean())

    def make(
        folder: Path | None,
        *,
        interrupt_after: int | None = None,
        config: TrainConfig = CONFIG,
        fingerprint: str = "ours",
        validate: Callable[[Llara], float] = validate,
    ) -> tuple[Trainer, Llara]:
        def on_step(record: StepRecord) -> None:
            if record.step + 1 == interrupt_after:
                raise KeyboardInterrupt

        llara = tiny_llara(dropout=0.2)
        trainer = Trainer(
            llara,
            examples,
            config=config,
            validate=validate,
            folder=folder,
            on_step=on_step,
            fingerprint=fingerprint,
        )
        return trainer, llara

    return make


def interrupt(start: Start, folder: Path, after: int, **changed: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(folder, interrupt_after=after, **changed)[0].train()


def untimed(folder: Path) -> list[Record]:
    """The records without the only number that depends on the machine."""
    return [
        {name: value for name, value in record.items() if name != "examples_per_second"}
        for record in read_metrics(folder)
    ]


def assert_same(weights: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


@pytest.mark.parametrize("after", [8, 9], ids=["between checkpoints", "right after a checkpoint"])
def test_a_resumed_run_equals_an_uninterrupted_one(start: Start, tmp_path: Path, after: int) -> None:
    whole, llara = start(tmp_path / "whole")
    expected = whole.train()
    interrupt(start, tmp_path / "cut", after)
    assert len(read_metrics(tmp_path / "cut")) == after
    again, resumed = start(tmp_path / "cut")
    report = again.train(resume=True)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert len(untimed(tmp_path / "cut")) == STEPS
    assert_same(trained_weights(resumed), trained_weights(llara))
    assert outcome(report) == outcome(expected)


def outcome(report: TrainReport) -> tuple[int, int, float, bool]:
    return report.steps, report.best_step, report.best_validation, report.stopped_early


def test_dropout_is_on_in_these_runs(start: Start, tmp_path: Path, tiny_llara: Build) -> None:
    _, llara = start(None)
    assert any(isinstance(module, torch.nn.Dropout) and module.p == 0.2 for module in llara.modules())


def test_two_interruptions_are_no_worse_than_one(start: Start, tmp_path: Path) -> None:
    whole, llara = start(tmp_path / "whole")
    whole.train()
    interrupt(start, tmp_path / "cut", 4)
    again, _ = start(tmp_path / "cut", interrupt_after=7)
    with pytest.raises(KeyboardInterrupt):
        again.train(resume=True)
    last, resumed = start(tmp_path / "cut")
    last.train(resume=True)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert_same(trained_weights(resumed), trained_weights(llara))


def test_a_best_model_from_before_the_interruption_is_the_one_that_remains(start: Start, tmp_path: Path) -> None:
    best: list[dict[str, Tensor]] = []

    def first_is_best(llara: Llara) -> float:
        best.append(trained_weights(llara))
        return 1.0 / len(best)

    interrupt(start, tmp_path, 7, validate=first_is_best)
    again, llara = start(tmp_path, validate=lambda _: 0.1)
    report = again.train(resume=True)
    assert (report.best_step, report.best_validation) == (3, 1.0)
    assert_same(trained_weights(llara), best[0])


def test_a_run_that_ran_out_of_patience_takes_no_further_step(start: Start, tmp_path: Path) -> None:
    config = TrainConfig(**{**vars(CONFIG), "patience": 1})
    scores = iter([0.5, 0.4])
    interrupt(start, tmp_path, 6, config=config, validate=lambda _: next(scores))
    report = start(tmp_path, config=config, validate=lambda _: 0.9)[0].train(resume=True)
    assert (report.steps, report.best_step, report.stopped_early) == (6, 3, True)
    assert len(read_metrics(tmp_path)) == 6


def test_a_finished_run_resumes_to_its_own_end(start: Start, tmp_path: Path) -> None:
    trainer, llara = start(tmp_path)
    expected = trainer.train()
    again, resumed = start(tmp_path)
    assert outcome(again.train(resume=True)) == outcome(expected)
    assert_same(trained_weights(resumed), trained_weights(llara))
    assert len(read_metrics(tmp_path)) == STEPS


def test_only_the_best_weights_are_kept_beside_the_last(start: Start, tmp_path: Path) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.4])
    start(tmp_path, validate=lambda _: next(scores))[0].train()
    files = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "checkpoints").rglob("*") if path.is_file())
    assert [Path(file).as_posix() for file in files] == [
        "checkpoints/best/step-12.safetensors",
        "checkpoints/last/choices.json",
        "checkpoints/last/optimizer.safetensors",
        "checkpoints/last/state.json",
        "checkpoints/last/weights.safetensors",
    ]


def test_records_are_on_the_disk_before_the_checkpoint_that_follows_them(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, known = os.replace, []

    def noting(source: Path, target: Path) -> None:
        if Path(target).name == "last":
            known.append(len(read_metrics(tmp_path)))
        rename(source, target)

    monkeypatch.setattr(os, "replace", noting)
    start(tmp_path)[0].train()
    assert known == [3, 6, 9, 12]


@pytest.mark.timeout(60)
def test_a_killed_process_resumes_in_another_one(
    tmp_path: Path, tiny_llara: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).with_name("killed_run.py")
    model, run, whole = tmp_path / "model", tmp_path / "run", tmp_path / "whole"
    tiny_llara(dropout=0.2).save_pretrained(model)
    command = [sys.executable, str(script), str(model), str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--stand-still-after", "7"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "7":
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert len(read_metrics(run)) == 8
    train = runpy.run_path(str(script))["train"]  # this process is another one
    train(model, run, resume=True)
    assert capsys.readouterr().out.split() == ["6", "7", "8", "9", "10", "11"]  # the checkpoint was of 6 steps
    train(model, whole)
    assert untimed(run) == untimed(whole)


def test_nothing_to_resume_is_refused(start: Start, tmp_path: Path) -> None:
    for folder in (tmp_path, None):
        with pytest.raises(CheckpointError, match=r"no checkpoint under .* without --resume"):
            start(folder)[0].train(resume=True)


def test_a_checkpoint_of_other_settings_is_refused_and_the_model_untouched(start: Start, tmp_path: Path) -> None:
    interrupt(start, tmp_path, 7, fingerprint="theirs")
    trainer, llara = start(tmp_path)
    before = trained_weights(llara)
    with pytest.raises(CheckpointError, match="other settings or data"):
        trainer.train(resume=True)
    assert_same(trained_weights(llara), before)
    assert len(read_metrics(tmp_path)) == 7


@pytest.mark.parametrize(
    "name",
    ["last/state.json", "last/weights.safetensors", "last/optimizer.safetensors", "best/step-3.safetensors"],
)
@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_a_damaged_checkpoint_is_refused_by_its_file(start: Start, tmp_path: Path, name: str, damage: str) -> None:
    scores = iter([0.5, 0.4])
    interrupt(start, tmp_path, 7, validate=lambda _: next(scores))
    path = tmp_path / "checkpoints" / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.unlink()
    trainer, _ = start(tmp_path)
    expected = (
        "no checkpoint" if (name, damage) == ("last/state.json", "lost") else f"{path.name} is missing or damaged"
    )
    with pytest.raises(CheckpointError, match=expected):
        trainer.train(resume=True)
    assert len((tmp_path / METRICS_FILE).read_text(encoding="utf-8").splitlines()) == 7


def test_only_the_previous_checkpoint_left_by_an_interrupted_rename_is_enough(start: Start, tmp_path: Path) -> None:
    whole, llara = start(tmp_path / "whole")
    whole.train()
    interrupt(start, tmp_path / "cut", 7)
    last = tmp_path / "cut" / "checkpoints" / "last"
    last.rename(last.with_name("last.old"))
    again, resumed = start(tmp_path / "cut")
    again.train(resume=True)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert_same(trained_weights(resumed), trained_weights(llara))
