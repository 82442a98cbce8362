"""Saved recommenders open again with the same scores, and broken ones are named."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llara.errors import CheckpointError, ConfigError
from llara.recommender import (
    Caser,
    CaserConfig,
    GRU4Rec,
    GRU4RecConfig,
    ImportedEmbeddings,
    Popularity,
    Recommender,
    SASRec,
    SASRecConfig,
    load_recommender,
    save_recommender,
)

HISTORY = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])


@pytest.mark.parametrize(
    "recommender",
    [
        SASRec(9, SASRecConfig(max_length=3, layers=1, heads=2), width=8, seed=3),
        GRU4Rec(9, GRU4RecConfig(hidden_width=5), width=8, seed=3),
        Caser(9, CaserConfig(window=3, horizontal_filters=2), width=8, seed=3),
        ImportedEmbeddings(torch.eye(10)),
        Popularity(torch.arange(10)),
    ],
    ids=lambda recommender: recommender.name,
)
def test_save_then_load_gives_the_same_scores(recommender: Recommender, tmp_path: Path) -> None:
    save_recommender(recommender, tmp_path / "recommender")
    loaded = load_recommender(tmp_path / "recommender")
    assert type(loaded) is type(recommender)
    assert not loaded.training
    assert torch.equal(loaded.score_all(HISTORY), recommender.eval().score_all(HISTORY))
    names = {path.name for path in (tmp_path / "recommender").iterdir()}
    assert names == {"recommender.safetensors", "recommender.json"}


def test_saving_again_replaces_the_recommender(tmp_path: Path) -> None:
    for seed in (0, 1):
        save_recommender(SASRec(9, width=8, seed=seed), tmp_path)
    assert torch.equal(load_recommender(tmp_path).item_embeddings(), SASRec(9, width=8, seed=1).item_embeddings())


def test_saving_replaces_nothing_but_a_recommender(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds no recommender\.json"):
        save_recommender(SASRec(9, width=8), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_recommender(SASRec(9, SASRecConfig(layers=1), width=8), tmp_path / "recommender")
    return tmp_path / "recommender"


@pytest.mark.parametrize("name", ["recommender.json", "recommender.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name} does not exist.*fit the recommender again"):
        load_recommender(saved)


@pytest.mark.parametrize("name", ["recommender.json", "recommender.safetensors"])
def test_a_truncated_file_is_named(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=name):
        load_recommender(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_items": 8}, r"item_table.weight has shape \[10, 8\], recommender.json beside it asks for \[9, 8\]"),
        ({"num_items": "9"}, "num_items must be an integer >= 1, found '9'"),
        ({"num_items": True}, "num_items must be an integer >= 1, found True"),
        ({"width": 0}, "width must be an integer >= 1, found 0"),
        ({"settings": {"layers": 2}}, r"blocks\.1\..* has shape nothing"),
        ({"settings": {"layers": 0}}, "settings do not describe a sasrec.*layers must be >= 1"),
        ({"settings": {"depth": 2}}, "settings do not describe a sasrec.*depth"),
        ({"settings": {"layers": "two"}}, "settings do not describe a sasrec"),
        ({"settings": [1]}, "settings must be an object"),
        ({"name": "popularity"}, "settings do not describe a popularity"),
        ({"name": "imported"}, "settings do not describe a imported"),
        ({"name": "bert4rec"}, "unknown recommender 'bert4rec', known are sasrec"),
        ({"format": 99}, "has format 99.*Update llara"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(saved: Path, change: dict[str, object], message: str) -> None:
    path = saved / "recommender.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        load_recommender(saved)


@pytest.mark.parametrize(
    ("content", "message"), [("[]", "expected a JSON object, found list"), ('{"format": 1}', "lacks name, num_items")]
)
def test_a_strange_manifest_is_refused(saved: Path, content: str, message: str) -> None:
    (saved / "recommender.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load_recommender(saved)


def test_weights_of_another_recommender_are_refused(saved: Path) -> None:
    weights = load_file(saved / "recommender.safetensors")
    weights["surplus"] = torch.zeros(2)
    save_file(weights, saved / "recommender.safetensors")
    with pytest.raises(CheckpointError, match=r"surplus has shape \[2\].*asks for nothing"):
        load_recommender(saved)


def test_imported_vectors_that_are_not_finite_are_refused_when_loaded(tmp_path: Path) -> None:
    save_recommender(ImportedEmbeddings(torch.eye(4)), tmp_path / "r")
    save_file({"vectors": torch.full((4, 4), float("nan"))}, tmp_path / "r" / "recommender.safetensors")
    with pytest.raises(CheckpointError, match="vectors holds NaN or infinity"):
        load_recommender(tmp_path / "r")
