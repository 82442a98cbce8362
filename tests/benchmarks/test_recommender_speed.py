"""The benchmarks of recommenders: one tiny run of each from end to end, on readers who walk round the catalog."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from benchmarks import recommender_quality, recommender_speed
from benchmarks.recommender_epoch import flop_per_target
from benchmarks.recommender_fit import Progress, measured, same_catalog
from llara.data import Examples, Sequences, last_examples, load_dataset
from llara.ingest import import_log
from llara.recommender import FitConfig, Popularity, SASRec, SASRecConfig, fit_recommender

NUM_ITEMS, NUM_USERS, LENGTH = 30, 80, 12


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path, "walks", length=LENGTH)


def write_dataset(folder: Path, name: str, *, length: int) -> Path:
    """Each user walks round the catalog from an item of their own: after item i comes i + 1."""
    starts = np.random.default_rng(0).integers(0, NUM_ITEMS, NUM_USERS)
    rows = [
        {"user_id": user, "item_id": int((start + step) % NUM_ITEMS), "timestamp": 1_000_000_000 + 100 * user + step}
        for user, start in enumerate(starts)
        for step in range(length)
    ]
    pl.DataFrame(rows).write_csv(folder / f"{name}.csv")
    titles = [{"item_id": item, "title": f"Stop {item}"} for item in range(NUM_ITEMS)]
    pl.DataFrame(titles).write_csv(folder / f"{name}-items.csv")
    import_log(folder / f"{name}.csv", folder / name, items=folder / f"{name}-items.csv")
    return folder / name


def marked(folder: Path, mark: str) -> Path:
    document = folder / f"{mark}.md"
    document.write_text(f"Before.\n<!-- {mark}:start -->\nold\n<!-- {mark}:end -->\nAfter.\n")
    return document


def test_the_operations_of_one_target_by_hand() -> None:
    # One block of width 2: 12 products of 2 x 2 weights; 5 items: 10 weights. Each costs 2, and 4 backward.
    assert flop_per_target(1, 2, 5) == 3 * 2 * (12 * 4 + 10)


def test_metrics_of_the_last_items_by_hand() -> None:
    popularity = Popularity(torch.arange(20.0, -1.0, -1.0))  # item i has rank i
    examples = Examples(np.array([[1], [1], [1]]), np.ones(3, dtype=np.int64), np.array([2, 4, 20]), np.arange(3))
    found = measured(popularity, examples)  # item 1 is seen: ranks 1, 3 and 19
    assert found["num_users"] == 3
    assert found["hit_ratio_at_10"] == pytest.approx(2 / 3)
    assert found["ndcg_at_10"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    for metric, interval in (("hit_ratio_at_10", "hit_ratio_interval"), ("ndcg_at_10", "ndcg_interval")):
        low, high = np.asarray(found[interval])
        assert 0 <= low < np.asarray(found[metric]) < high <= 1


def test_a_tiny_epoch_is_timed(dataset: Path, tmp_path: Path) -> None:
    document, output = marked(tmp_path, "recommender-speed"), tmp_path / "figures.json"
    recommender_speed.main(
        [
            *(str(dataset), "--epochs", "4", "--batch-size", "64", "--history-length", "8", "--width", "16"),
            *("--document", str(document), "--output", str(output)),
        ]
    )
    report = json.loads(output.read_text())
    seconds = report["epoch_seconds"]
    assert len(seconds) == 4
    assert report["seconds_per_epoch"] == sorted(seconds[1:])[1]
    assert 0 < sum(seconds) < report["cost"]["wall_seconds"]
    assert report["num_interactions"] == NUM_USERS * LENGTH
    assert report["targets"] == NUM_USERS * (LENGTH - 1)
    assert report["losses"][-1] < report["losses"][0]
    assert (
        report["flop_per_second"] == report["targets"] * flop_per_target(2, 16, NUM_ITEMS) / report["seconds_per_epoch"]
    )
    assert 0 < report["share_of_peak"] < 1
    text = document.read_text()
    assert "| 880 |" in text
    assert "old" not in text


def test_one_epoch_is_too_few() -> None:
    with pytest.raises(SystemExit):
        recommender_speed.main(["anywhere", "--epochs", "1"])


def test_a_tiny_fit_ranks_the_last_items(dataset: Path, tmp_path: Path) -> None:
    document, output = marked(tmp_path, "recommender-quality"), tmp_path / "figures.json"
    later = write_dataset(tmp_path, "longer", length=LENGTH + 2)
    recommender_quality.main(
        [
            *(str(dataset), "--document", str(document), "--output", str(output), "--part", "test"),
            *("--more-tests", str(later), "--validation-users", "30", "--epochs", "12", "--batch-size", "64"),
            *("--learning-rate", "0.01", "--history-length", "8", "--width", "16", "--dropout", "0"),
        ]
    )
    report = json.loads(output.read_text())
    assert list(report["parts"]) == ["validation", "test", "test of longer"]
    assert {part["num_users"] for part in report["parts"].values()} == {NUM_USERS}
    assert report["rows_for_stopping"] == 30
    assert report["training_targets"] == NUM_USERS * (LENGTH - 3)
    assert report["settings"]["max_length"] == 8
    assert report["parts"]["test"]["hit_ratio_at_10"] > 0.9  # by chance: 10 of the 19 items not seen
    assert report["parts"]["test"]["ndcg_at_10"] > 0.8
    assert report["best_epoch"] == 1 + int(np.argmax([record["validation_ndcg"] for record in report["history"]]))
    assert "| test of longer | 80 |" in document.read_text()


@pytest.mark.parametrize(("max_seconds", "epochs"), [(0.0, 1), (600.0, 6)])
def test_fitting_ends_when_the_time_is_up_with_the_weights_of_the_best_epoch(max_seconds: float, epochs: int) -> None:
    sequences = Sequences.from_lists([[1, 2, 3, 4, 5], [3, 4, 5, 1, 2], [5, 1, 2, 3, 4]])
    validation = last_examples(sequences, history_length=4, min_history=1)
    # Learning this fast, weights get worse again: the last ones are not the best.
    config = FitConfig(epochs=epochs, learning_rate=0.3, patience=6)
    plain, followed = (SASRec(20, SASRecConfig(max_length=4), width=8) for _ in range(2))
    fit_recommender(plain, sequences, validation=validation, config=config)
    progress = Progress(followed, max_seconds=max_seconds)
    best = progress.fit(sequences, validation=validation, config=dataclasses.replace(config, epochs=6))
    assert len(progress.records) == epochs
    assert best.validation_ndcg == max(record.validation_ndcg for record in progress.records)
    assert torch.equal(plain.item_embeddings(), followed.item_embeddings())
    assert not followed.training


def test_another_catalog_is_refused(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    rows = [{"user_id": 1, "item_id": item, "timestamp": 1_000_000_000 + item} for item in range(5)]
    pl.DataFrame(rows).with_columns(title=pl.format("Stop {}", "item_id")).write_csv(other / "log.csv")
    import_log(other / "log.csv", other / "set")
    assert same_catalog(dataset, load_dataset(dataset)).log.num_users == NUM_USERS
    with pytest.raises(SystemExit, match="another catalog"):
        same_catalog(other / "set", load_dataset(dataset))
