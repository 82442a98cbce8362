"""Saved models: the same scores after a round trip, and a message for every part that is missing or does not fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from llara.data import Catalog
from llara.errors import CheckpointError, ConfigError
from llara.model import AdaptConfig, Llara, LoraSettings
from llara.model.backbone import causal_lm
from llara.model.store import load_catalog, save_catalog
from llara.prompt import PromptConfig
from llara.recommender import SASRec, save_recommender

Build = Callable[..., Llara]
HISTORIES, CANDIDATES = [[103, 108], [101]], [[101, 102, 103, 109], [104, 105, 119, 102]]


def scores(llara: Llara) -> list[Any]:
    return [llara.score(HISTORIES, CANDIDATES, scorer=scorer) for scorer in ("answer", "listwise")]


@pytest.mark.parametrize("tuning", ["lora", "full", "frozen"])
@pytest.mark.parametrize("shape", ["nano", "llama", "gpt2", "gemma3", "qwen3"])
def test_a_saved_and_moved_model_scores_the_same(
    shape: str, tuning: str, build: Build, stir: Callable[[Llara], Llara], tmp_path: Path
) -> None:
    llara = stir(build(shape, tuning=tuning, prompt=PromptConfig(item_text="{title} ({year})", max_title_tokens=12)))
    llara.uses_behavior, llara.default_scorer = True, "listwise"
    llara.save_pretrained(tmp_path / "made")
    shutil.move(tmp_path / "made", tmp_path / "elsewhere")
    opened = Llara.from_pretrained(tmp_path / "elsewhere")
    for found, expected in zip(scores(opened), scores(llara), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert opened.config == llara.config
    assert (opened.uses_behavior, opened.default_scorer) == (True, "listwise")
    assert opened.catalog.titles == llara.catalog.titles
    assert set(opened.trainable()) == set(llara.trainable())
    assert not opened.training


def test_a_text_only_model_stays_text_only(build: Build, tmp_path: Path) -> None:
    llara = build()
    llara.uses_behavior = False
    llara.save_pretrained(tmp_path)
    opened = Llara.from_pretrained(tmp_path)
    assert not opened.uses_behavior
    np.testing.assert_allclose(opened.score(HISTORIES, CANDIDATES), llara.score(HISTORIES, CANDIDATES), atol=1e-6)


@pytest.mark.parametrize("shape", ["nano", "llama", "gpt2"])
def test_an_adapted_backbone_is_stored_whole(
    shape: str, build: Build, stir: Callable[[Llara], Llara], tmp_path: Path
) -> None:
    llara = stir(build(shape, adapt=AdaptConfig(steps=1, batch_size=1, block_tokens=16)))
    llara.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "backbone" / "model.safetensors")
    plain = causal_lm(build(shape, tuning="full").model)
    assert set(stored) == set(plain.state_dict()) - ({"lm_head.weight"} if shape in ("nano", "gpt2") else set())
    np.testing.assert_allclose(scores(Llara.from_pretrained(tmp_path)), scores(llara), atol=1e-6, rtol=0)


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
@pytest.mark.parametrize("shape", ["nano", "llama"])
def test_a_model_in_half_precision_scores_the_same_after_a_round_trip(
    shape: str, precision: str, build: Build, stir: Callable[[Llara], Llara], tmp_path: Path
) -> None:
    adapt = AdaptConfig(steps=2 * (shape == "nano"), batch_size=1, block_tokens=16, learning_rate=0.05)
    llara = stir(build(shape, precision=precision, adapt=adapt))
    llara.save_pretrained(tmp_path)
    np.testing.assert_allclose(scores(Llara.from_pretrained(tmp_path)), scores(llara), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", ["nano", "llama"])
def test_nothing_in_the_folder_needs_unpickling(shape: str, build: Build, tmp_path: Path) -> None:
    build(shape).save_pretrained(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert {Path(name).suffix for name in names} == {".safetensors", ".json", ".parquet"}
    assert {"llara.json", "projector.safetensors", "catalog.parquet", "adapter/adapter_model.safetensors"} <= set(names)
    assert any(name.startswith("backbone/") for name in names) == (shape == "nano")
    assert not any((tmp_path / name).read_bytes()[:1] == b"\x80" for name in names)


def test_saving_again_replaces_and_keeps_other_files(
    build: Build, stir: Callable[[Llara], Llara], tmp_path: Path
) -> None:
    llara = build()
    llara.save_pretrained(tmp_path)
    (tmp_path / "report.html").write_text("mine")
    stir(llara).save_pretrained(tmp_path)
    np.testing.assert_allclose(scores(Llara.from_pretrained(tmp_path)), scores(llara), atol=1e-6, rtol=0)
    assert (tmp_path / "report.html").read_text() == "mine"


def test_catalogs_survive_with_and_without_metadata(tiny_catalog: Catalog, tmp_path: Path) -> None:
    words = Catalog(item_ids=("", "a", "b"), titles=("", "A", "B"), noun="book", metadata=pl.DataFrame())
    for catalog in (tiny_catalog, words):
        save_catalog(catalog, tmp_path / "catalog.parquet")
        opened = load_catalog(tmp_path / "catalog.parquet", noun=catalog.noun)
        assert (opened.item_ids, opened.titles, opened.noun) == (catalog.item_ids, catalog.titles, catalog.noun)
        assert opened.metadata.columns == catalog.metadata.columns
        assert opened.sha256 == catalog.sha256


@pytest.fixture(scope="module")
def saved(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "run"
    build().save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("llara.json", "holds no llara.json: it is no finished run"),
        ("projector.safetensors", r"projector.safetensors is missing or damaged"),
        ("catalog.parquet", r"catalog.parquet is missing or damaged"),
        ("recommender/recommender.json", "recommender.json does not exist"),
        ("adapter", "has no adapter/. Is it a complete run folder"),
        ("adapter/adapter_model.safetensors", "adapter has no adapter_model.safetensors"),
        ("adapter/adapter_config.json", "adapter has no adapter_config.json"),
        ("backbone/model.safetensors", r"has no \*.safetensors weights"),
        ("backbone", "does not exist"),
    ],
)
def test_a_missing_part_is_named(part: str, message: str, broken: Path) -> None:
    path = broken / part
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=message):
        Llara.from_pretrained(broken)


@pytest.mark.parametrize(
    "part",
    ["llara.json", "projector.safetensors", "catalog.parquet", "backbone/model.safetensors", "backbone/config.json",
     "adapter/adapter_model.safetensors", "adapter/adapter_config.json"],
)  # fmt: skip
def test_a_damaged_part_is_named(part: str, broken: Path) -> None:
    path = broken / part
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CheckpointError, match=part.split("/", maxsplit=1)[0]):
        Llara.from_pretrained(broken)


def test_an_adapter_of_another_backbone_is_refused(build: Build, broken: Path) -> None:
    build(lora=LoraSettings(rank=4)).model.save_pretrained(str(broken / "adapter"), save_embedding_layers=False)
    Llara.from_pretrained(broken)  # another rank is that adapter's own business
    tensors = load_file(broken / "adapter" / "adapter_model.safetensors")
    save_file({name: torch.zeros(3, 3) for name in tensors}, broken / "adapter" / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="adapter is damaged or of another backbone"):
        Llara.from_pretrained(broken)


def test_a_recommender_of_another_width_is_refused(broken: Path) -> None:
    save_recommender(SASRec(24, width=8), broken / "recommender")
    with pytest.raises(CheckpointError, match=r"projector takes item width 16, recommender 'sasrec' gives 8. Load the"):
        Llara.from_pretrained(broken)


def test_a_recommender_of_another_catalog_is_refused(broken: Path) -> None:
    save_recommender(SASRec(30, width=16), broken / "recommender")
    with pytest.raises(CheckpointError, match=r"'sasrec' knows 30 items, catalog.parquet has 24"):
        Llara.from_pretrained(broken)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("placeholder", torch.zeros(7), r"has \[7\] for 'placeholder', backbone and recommender ask for \[32\]"),
        ("projector.second.weight", torch.zeros(64, 64), r"has \[64, 64\] for 'projector.second.weight'"),
        ("head.weight", None, "has nothing for 'head.weight'"),
        ("projector.mean", None, "projector takes item width None"),
    ],
)
def test_a_projector_that_does_not_fit_is_refused(
    name: str, value: torch.Tensor | None, message: str, broken: Path
) -> None:
    tensors = load_file(broken / "projector.safetensors")
    del tensors[name]
    if value is not None:
        tensors[name] = value
    save_file(tensors, broken / "projector.safetensors")
    with pytest.raises(CheckpointError, match=message):
        Llara.from_pretrained(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "expected format 1, found 99. Update llara"),
        ({"noun": None}, "lacks 'noun'"),
        ({"config": {"backbone": {"tuning": "magic"}}}, "has settings that this version does not know"),
        ({"config": {"prompt": {"max_title_tokens": 0}}}, "has settings that this version does not know"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(change: dict[str, Any], message: str, broken: Path) -> None:
    content = json.loads((broken / "llara.json").read_text())
    content = {key: value for key, value in {**content, **change}.items() if value is not None}
    (broken / "llara.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        Llara.from_pretrained(broken)


def test_a_manifest_of_another_kind_is_refused(broken: Path) -> None:
    (broken / "llara.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected format 1, found list"):
        Llara.from_pretrained(broken)


def test_errors_of_settings_stay_errors_of_settings_outside_of_files() -> None:
    with pytest.raises(ConfigError):
        PromptConfig(max_title_tokens=0)
