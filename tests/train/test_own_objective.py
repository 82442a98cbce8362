"""A third party adds an objective in one file: `margin_objective.py`, imported before settings are read."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llara.data import Examples
from llara.errors import ConfigError
from llara.model import Llara
from llara.run.config import dump_config, load_config
from llara.train import CurriculumConfig, ObjectiveConfig, OptimizerConfig, TrainConfig, Trainer
from llara.train.objectives import registry

FILE = Path(__file__).with_name("margin_objective.py")
CONFIG = """
output: runs/mine
data: {folder: some/folder}
train: {objective: {name: margin, settings: {margin: 0.5}}}
"""


@pytest.fixture
def _registered() -> Iterator[None]:
    spec = importlib.util.spec_from_file_location("margin_objective", FILE)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    del registry._BUILDERS["margin"]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.mark.usefixtures("_registered")
def test_a_run_config_takes_it_by_name_and_writes_it_back(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file)
    assert config.train.objective.trains == ("listwise",)
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config
    with pytest.raises(ConfigError, match=r"train\.objective\.settings do not fit the objective 'margin'.*magin"):
        load_config(config_file, ["train.objective.settings.magin=1"])


def test_without_its_module_the_message_says_to_import_it(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 'margin'.*import its module first"):
        load_config(config_file)


@pytest.mark.usefixtures("_registered")
def test_it_trains_the_listwise_head_until_its_own_loss_is_gone(
    tiny_llara: Callable[..., Llara], make_examples: Callable[[int], Examples]
) -> None:
    losses: list[float] = []
    config = TrainConfig(
        epochs=60, batch_size=4, micro_batch_size=4, num_negatives=4, validations=1,
        objective=ObjectiveConfig(name="margin", settings={"margin": 0.5}),
        curriculum=CurriculumConfig(kind="direct"), optimizer=OptimizerConfig(learning_rate=5e-3),
    )  # fmt: skip
    llara = tiny_llara(tuning="full", part_vectors=True)
    Trainer(
        llara, make_examples(4), config=config, validate=lambda _: 0.0,
        on_step=lambda record: losses.append(record.loss),
    ).train()  # fmt: skip
    assert losses[0] == pytest.approx(0.5, abs=0.2)  # all scores near 0
    assert losses[-1] < 0.5 * losses[0]
