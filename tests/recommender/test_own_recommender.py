"""A third party adds a recommender in one file: `decay_recommender.py`, imported before settings are read."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from llara.data.examples import prefix_examples
from llara.data.sequences import Sequences
from llara.errors import CheckpointError, ConfigError
from llara.recommender import (
    RECOMMENDERS,
    Recommender,
    RecommenderConfig,
    SASRec,
    SASRecConfig,
    best_device,
    build_recommender,
    fit_recommender,
    load_recommender,
    register_recommender,
    registry,
    save_recommender,
)
from llara.run.config import dump_config, load_config

FILE = Path(__file__).with_name("decay_recommender.py")
NUM_ITEMS = 12
CONFIG = """
output: runs/mine
data: {folder: some/folder}
recommender:
  name: decay
  embedding_dim: 16
  settings: {decay: 0.25}
  fit: {epochs: 30, learning_rate: 0.03, patience: 30}
"""


@pytest.fixture
def _registered() -> Iterator[None]:
    spec = importlib.util.spec_from_file_location("decay_recommender", FILE)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    del registry._KINDS["decay"], RECOMMENDERS["decay"]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def walks(num_users: int, *, seed: int) -> Sequences:
    """After item i comes i + 1."""
    starts = np.random.default_rng(seed).integers(0, NUM_ITEMS, num_users)
    return Sequences.from_lists([[(start + step) % NUM_ITEMS + 1 for step in range(8)] for start in starts])


@pytest.mark.usefixtures("_registered")
def test_a_run_config_builds_fits_saves_and_loads_it_by_name(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file)
    recommender = build_recommender(config.recommender, num_items=NUM_ITEMS)
    assert recommender.name == "decay"
    assert recommender.width == 16
    assert recommender.settings() == {"max_length": 20, "decay": 0.25}
    validation = prefix_examples(walks(10, seed=1), history_length=5, min_history=2)
    report = fit_recommender(recommender, walks(60, seed=0), validation=validation, config=config.recommender.fit)
    assert report.best_validation > 0.9
    save_recommender(recommender, tmp_path / "saved")
    loaded = load_recommender(tmp_path / "saved")
    history = torch.from_numpy(validation.history)
    with torch.inference_mode():
        assert torch.equal(loaded.score_all(history), recommender.score_all(history))


@pytest.mark.usefixtures("_registered")
def test_its_settings_survive_the_config_of_a_run_and_are_checked(config_file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(load_config(config_file)), encoding="utf-8")
    assert load_config(again) == load_config(config_file)
    for override in ("decays=1", "decay=much"):
        with pytest.raises(ConfigError, match=r"recommender\.settings\.decays? does not fit the recommender 'decay'"):
            load_config(config_file, [f"recommender.settings.{override}"])


@pytest.mark.usefixtures("_registered")
def test_a_name_that_is_taken_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match="a recommender 'sasrec' exists already"):
        register_recommender(SASRec, SASRecConfig)


def test_without_its_module_messages_say_to_import_it(config_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 'decay'.*import its module first"):
        load_config(config_file)
    save_recommender(SASRec(NUM_ITEMS, width=8), tmp_path / "saved")
    manifest = tmp_path / "saved" / "recommender.json"
    manifest.write_text(manifest.read_text().replace('"sasrec"', '"decay"'))
    with pytest.raises(CheckpointError, match=r"unknown recommender 'decay'.*import the module that registers it"):
        load_recommender(tmp_path / "saved")


def test_settings_of_ours_stay_in_their_own_section() -> None:
    with pytest.raises(ConfigError, match=r"found heads; those of sasrec are under recommender\.sasrec"):
        RecommenderConfig(settings={"heads": 2})


def test_a_mistyped_recommender_is_told_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"got 'sasrek'\. Did you mean 'sasrec'\?"):
        RecommenderConfig(name="sasrek")


@pytest.mark.parametrize("given", [None, torch.device("cpu")])
def test_fitting_takes_place_on_the_one_device_or_the_one_asked_for(
    given: torch.device | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.device] = []
    to = Recommender.to

    def noting(self: Recommender, device: torch.device) -> Recommender:
        asked.append(device)
        return to(self, device)

    monkeypatch.setattr(Recommender, "to", noting)
    recommender = SASRec(NUM_ITEMS, width=8)
    validation = prefix_examples(walks(5, seed=1), history_length=5, min_history=2)
    config = RecommenderConfig().fit
    report = fit_recommender(recommender, walks(5, seed=0), validation=validation, config=config, device=given)
    assert report.epochs_run > 0
    assert asked == [given or best_device(), torch.device("cpu")]
    assert {weight.device.type for weight in recommender.parameters()} == {"cpu"}


@pytest.mark.gpu
def test_a_recommender_is_fitted_on_the_gpu_and_comes_back() -> None:
    recommender = SASRec(NUM_ITEMS, width=8)
    seen: list[str] = []
    handle = recommender.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].device.type))
    validation = prefix_examples(walks(10, seed=1), history_length=5, min_history=2)
    report = fit_recommender(recommender, walks(60, seed=0), validation=validation, config=RecommenderConfig().fit)
    handle.remove()
    assert set(seen) == {"cuda"}
    assert recommender.device.type == "cpu"
    assert report.best_validation > 0.5
