import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from llara.errors import CheckpointError
from llara.train import METRICS_FILE, read_metrics
from llara.train.tracking import MetricsWriter


def write_steps(folder: Path, steps: range, *, start_step: int) -> None:
    writer = MetricsWriter(folder, start_step=start_step)
    for step in steps:
        writer.write({"step": step, "loss": step / 10})
    writer.close()


def test_records_read_back_as_written(tmp_path: Path) -> None:
    write_steps(tmp_path, range(3), start_step=0)
    assert read_metrics(tmp_path) == [{"step": step, "loss": step / 10} for step in range(3)]


def test_a_run_without_records_has_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_tensorboard_shows_each_number_by_step(tmp_path: Path) -> None:
    write_steps(tmp_path, range(3), start_step=0)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, round(event.value, 6)) for event in events.Scalars("train/loss")] == [
        (0, 0.0),
        (1, 0.1),
        (2, 0.2),
    ]
    assert events.Tags()["scalars"] == ["train/loss"]


def test_resuming_drops_what_the_interrupted_run_did_after_its_checkpoint(tmp_path: Path) -> None:
    write_steps(tmp_path, range(8), start_step=0)
    write_steps(tmp_path, range(5, 7), start_step=5)
    assert [record["step"] for record in read_metrics(tmp_path)] == list(range(7))


def test_a_half_written_last_record_is_dropped_and_the_run_goes_on(tmp_path: Path) -> None:
    write_steps(tmp_path, range(3), start_step=0)
    with (tmp_path / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')
    assert [record["step"] for record in read_metrics(tmp_path)] == [0, 1, 2]
    write_steps(tmp_path, range(3, 5), start_step=3)
    assert [record["step"] for record in read_metrics(tmp_path)] == [0, 1, 2, 3, 4]


def test_a_damaged_record_is_refused_by_its_line(tmp_path: Path) -> None:
    lines = [json.dumps({"step": 0}), "no record", json.dumps({"step": 2}), ""]
    (tmp_path / METRICS_FILE).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl line 2: .*'no record'"):
        read_metrics(tmp_path)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = MetricsWriter(None, start_step=0)
    writer.write({"step": 0, "loss": 1.0})
    writer.close()
    assert list(tmp_path.iterdir()) == []
