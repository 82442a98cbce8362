"""The comparison with RecBole: what is written for it, and how its ranks are read (from a file)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import recbole_comparison
from llara.data import load_dataset
from tests.benchmarks.test_recommender_speed import marked, write_dataset

LENGTH = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path, "walks", length=LENGTH)


def their_ranks(folder: Path, *, rank: int) -> dict[str, Any]:
    """What RecBole would report if it ranked every last item there."""
    sequences = load_dataset(folder).log.sequences
    targets = sequences.items[sequences.offsets[1:] - 1]
    return {
        **{"version": "1.2.1", "torch": "2", "numpy": "1", "settings": {}, "threads": 2, "best_epoch": 1},
        "epochs": [{"seconds": 3.0, "valid_ndcg": 0.5}, {"seconds": 5.0, "valid_ndcg": 0.25}],
        "its_own_ndcg": 0.5,
        "targets": {str(user): {"target": str(item), "rank": rank} for user, item in enumerate(targets)},
    }


def test_the_log_has_every_interaction_in_its_place(folder: Path, tmp_path: Path) -> None:
    recbole_comparison.main(["write", str(folder), str(tmp_path / "out")])
    header, *rows = (tmp_path / "out" / "log" / "log.inter").read_text().splitlines()
    assert header.split("\t") == ["user_id:token", "item_id:token", "timestamp:float"]
    sequences = load_dataset(folder).log.sequences
    expected = [
        (user, int(item), place)
        for user in range(len(sequences))
        for place, item in enumerate(sequences.items[sequences.offsets[user] : sequences.offsets[user + 1]])
    ]
    assert [tuple(map(int, row.split("\t"))) for row in rows] == expected


@pytest.mark.parametrize(("rank", "verdict"), [(1, "worse"), (11, "better")])
def test_both_are_judged_by_the_same_ranks(folder: Path, tmp_path: Path, rank: int, verdict: str) -> None:
    ranks, output, document = tmp_path / "ranks.json", tmp_path / "figures.json", marked(tmp_path, "recbole")
    ranks.write_text(json.dumps(their_ranks(folder, rank=rank)))
    recbole_comparison.main(
        [
            *("compare", str(folder), str(ranks), "--epochs", "2"),
            *("--output", str(output), "--document", str(document)),
        ]
    )
    report = json.loads(output.read_text())
    mean, *ends = report["ndcg_at_10"]["RecBole"]
    assert mean == float(rank == 1)
    assert np.isnan(ends).all(), "equal ranks have no honest interval"
    assert report["verdict"] == verdict
    assert report["difference"][0] == pytest.approx(report["ndcg_at_10"]["ours"][0] - (rank == 1))
    assert "| RecBole | " in document.read_text()
    assert "| 1 | 2 | 2.5 | 2 |" in document.read_text()


def test_ranks_of_other_targets_are_refused(folder: Path) -> None:
    theirs = their_ranks(folder, rank=1)
    theirs["targets"]["0"]["target"] = "0"
    with pytest.raises(SystemExit, match="other targets"):
        recbole_comparison.compared(load_dataset(folder), theirs, seed=0, epochs=1)
