"""`train.stages` in YAML and `--set`: what a stage leaves out is that of `train`, what cannot be is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from llara.errors import ConfigError
from llara.model import SequenceConfig
from llara.run.choices import (
    practised_objective,
    trained_scorer,
    uses_behavior,
    uses_of_backbone,
    validating_scorer,
    ways_with_prior,
)
from llara.run.config import RunConfig, dump_config, load_config, override_config, parse_config

TRAIN: dict[str, Any] = {
    "batch_size": 32,
    "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.01},
    "windows": {"length": 7, "scored_items": 5},
    "stages": [
        {"objective": {"name": "sequence"}, "epochs": 1, "windows": {"length": 12}},
        {"objective": {"name": "sum"}, "epochs": 0.2, "optimizer": {"learning_rate": 3e-4}},
    ],
}


def parse(*, train: dict[str, Any] | None = None, **more: Any) -> RunConfig:
    return parse_config({"output": "runs/x", "data": {"folder": "x"}, "train": {**TRAIN, **(train or {})}, **more})


def written(folder: Path) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"output": "runs/x", "data": {"folder": "x"}, "train": TRAIN}), encoding="utf-8")
    return path


def test_a_section_of_a_stage_keeps_the_keys_of_train_that_it_leaves_out() -> None:
    first, second = parse().train.in_stages()
    assert (first.batch_size, first.epochs, second.epochs) == (32, 1, 0.2)
    assert (first.optimizer.learning_rate, first.optimizer.weight_decay) == (1e-3, 0.01)
    assert (second.optimizer.learning_rate, second.optimizer.weight_decay) == (3e-4, 0.01)
    assert (first.windows.length, first.windows.scored_items, second.windows.length) == (12, 5, 7)


def test_an_objective_is_given_as_a_whole() -> None:
    objective = {"name": "sum", "answer_weight": 0.1}
    _, second = parse(train={"objective": objective}).train.in_stages()
    assert second.objective.answer_weight == 1.0


def test_without_stages_there_is_one_as_before() -> None:
    train = parse(train={"stages": []}).train
    assert train.in_stages() == (train,)


def test_settings_with_stages_survive_a_round_trip(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"objectve": {}}, r"unknown key 'train\.stages\.1\.objectve'. Did you mean 'train\.stages\.1\.objective'\?"),
        ({"optimizer": {"rate": 1}}, r"unknown key 'train\.stages\.1\.optimizer\.rate'"),
        ({"num_negatives": 4}, r"unknown key 'train\.stages\.1\.num_negatives'"),
        ({"epochs": 0}, r"train\.stages\.1\.epochs must be > 0, got 0"),
        ({"windows": {"length": 0}}, r"train\.stages\.1\.windows\.length must be >= 1, got 0"),
        ({"objective": {"name": "liswise"}}, r"^config: train\.stages\.1\.objective\.name .* mean 'listwise'\?"),
        ({"objective": {"name": "sum", "settings": {"a": 1}}}, r"train\.stages\.1\.objective\.settings do not fit"),
        ({"curriculum": {"kind": "text-only"}}, r"train\.stages\.1\.curriculum\.kind cannot be text-only"),
        (None, r"train\.stages\.1 must be settings as `key: value`, got nothing"),
    ],
)
def test_a_wrong_stage_is_refused_with_its_place(stage: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(train={"stages": [TRAIN["stages"][0], stage]})


def test_stages_are_set_as_a_whole(tmp_path: Path) -> None:
    path = written(tmp_path)
    config = load_config(path, ["train.stages=[{epochs: 2}, {optimizer: {learning_rate: 1}}]"])
    assert [stage.optimizer.weight_decay for stage in config.train.in_stages()] == [0.01, 0.01]
    assert load_config(path, ["train.stages=[]"]).train.stages == ()
    with pytest.raises(
        ConfigError, match=r"^--set train\.stages=\[\{epoch: 2\}\]: unknown key 'train\.stages\.0\.epoch"
    ):
        load_config(path, ["train.stages=[{epoch: 2}]"])
    with pytest.raises(ConfigError, match=r"^--set train\.stages=.*: train\.stages\.0\.objective\.name must be one of"):
        load_config(path, ["train.stages=[{objective: {name: x}}]"])
    with pytest.raises(
        ConfigError, match=r"'train\.stages' is a list: give it as a whole, --set 'train\.stages=\[\.\.\.\]'"
    ):
        load_config(path, ["train.stages.0.epochs=2"])


def test_an_option_of_train_holds_for_the_stages_that_do_not_say_it(tmp_path: Path) -> None:
    config = load_config(written(tmp_path), ["train.optimizer.weight_decay=0.5", "train.optimizer.learning_rate=0.1"])
    first, second = config.train.in_stages()
    assert (first.optimizer.weight_decay, second.optimizer.weight_decay) == (0.5, 0.5)
    assert (first.optimizer.learning_rate, second.optimizer.learning_rate) == (0.1, 3e-4)
    direct = load_config(written(tmp_path), ["train.curriculum.ramp_fraction=0.5"])
    assert direct.train.in_stages()[0].curriculum.ramp_fraction == 0.5


@pytest.mark.parametrize("option", ["train.epochs=3", "train.objective.name=answer"])
def test_an_option_that_every_stage_overrules_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--set {option}: every stage in train\.stages has its own"):
        load_config(written(tmp_path), [option])


def test_the_text_only_twin_is_text_only_in_every_stage(tmp_path: Path) -> None:
    stages = [{"curriculum": {"kind": "two-stage"}}, {"curriculum": {"kind": "direct"}}]
    hybrid = parse(train={"stages": stages})
    twin = override_config(hybrid, ["train.curriculum.kind=text-only"])
    assert uses_behavior(hybrid)
    assert not uses_behavior(twin)
    assert {stage.curriculum.kind for stage in twin.train.in_stages()} == {"text-only"}


def test_what_a_run_has_trained_is_what_its_stages_have() -> None:
    config = parse(recommender_prior=True, practice={"steps": 5}, evaluate={"generation_draws": 1})
    assert config.train.trains == ("listwise", "answer", "sequence")
    assert trained_scorer(config) == "listwise"
    assert ways_with_prior(config) == ["listwise", "sequence"]
    assert uses_of_backbone(config) == ["listwise", "listwise", "answer", "sequence", "generation"]
    assert practised_objective(config).name == "sum"
    assert config.llara.sequence == SequenceConfig(head=True)


def test_each_stage_is_validated_by_a_scorer_that_it_trains() -> None:
    def validated(scorer: str) -> list[str]:
        config = parse(evaluate={"scorer": scorer})
        return [validating_scorer(config, stage) for stage in config.train.in_stages()]

    assert validated("auto") == ["sequence", "listwise"]
    assert validated("answer") == ["sequence", "answer"]
    assert validated("sequence") == ["sequence", "listwise"]
    alone = parse(train={"stages": [], "objective": {"name": "listwise"}}, evaluate={"scorer": "answer"})
    assert validating_scorer(alone, alone.train) == "answer"


def test_checks_of_the_objective_look_at_every_stage() -> None:
    sequences = {"stages": [{"objective": {"name": "sequence"}}, {"objective": {"name": "sequence"}}]}
    assert parse(train=sequences, evaluate={"scorer": "sequence"}).train.trains == ("sequence",)
    with pytest.raises(ConfigError, match=r"evaluate\.scorer listwise needs .*, got 'sequence' and 'sequence'"):
        parse(train=sequences, evaluate={"scorer": "listwise"})
    with pytest.raises(ConfigError, match="practice teaches prompts with candidates"):
        parse(train=sequences, practice={"steps": 5})
