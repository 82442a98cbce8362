import dataclasses
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llara.data.limits import bare_type, hints_of, limits_in_words
from llara.errors import ConfigError
from llara.model import AdaptConfig, LlaraConfig, NanoConfig
from llara.run.config import (
    DataConfig,
    RunConfig,
    config_to_dict,
    dump_config,
    load_config,
    override_config,
    parse_config,
)

_FILES = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
CONFIGS = [path for path in _FILES if not path.name.startswith("ablation-")]
"""Of runs; `ablation-*.yaml` are sweeps, see tests/pipeline/test_sweep.py."""
SMALLEST: dict[str, Any] = {"output": "runs/x", "data": {"folder": "data/x"}}


def _load(tmp_path: Path, text: str, *overrides: str) -> RunConfig:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def test_defaults_are_the_papers() -> None:
    config = parse_config(SMALLEST)
    lora = config.backbone.lora
    assert (config.backbone.tuning, lora.rank, lora.alpha, lora.dropout) == ("lora", 8, 32, 0.1)
    assert config.train.curriculum.kind == "paper"
    assert config.train.objective.name == "answer"
    assert (config.train.num_negatives, config.data.candidates.num_negatives) == (19, 19)
    assert config.data.candidates.sampling == "uniform"
    assert (config.data.split.method, config.data.split.history_length) == ("users", 10)
    assert (config.data.split.train_until, config.data.split.validation_until) == (0.8, 0.9)
    assert (config.recommender.name, config.recommender.embedding_dim) == ("sasrec", 64)
    assert (config.train.batch_size, config.train.epochs) == (128, 5.0)
    assert (config.recommender_prior, config.prior_folds, config.part_vectors) == (False, 3, False)
    assert config.practice.steps == 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_each_config_of_the_repository_is_valid_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    assert _load(tmp_path, dump_config(config)) == config


def test_the_repository_has_configs() -> None:
    assert len(CONFIGS) >= 4


@settings(max_examples=15, deadline=None)
@example(output="\x85", rate=1e-3, item_text="{title}", prior=False)  # a line break to YAML
@given(
    output=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    rate=st.floats(1e-7, 1e-1),
    item_text=st.sampled_from(["{title}", "{title} ({year}; {genres})", "{title}: {a, b} #1 \u0085'\""]),
    prior=st.booleans(),
)
def test_dumped_settings_load_to_equal_ones(output: str, rate: float, item_text: str, prior: bool) -> None:
    content = {
        **SMALLEST,
        "output": f"runs/{output}x",
        "prompt": {"item_text": item_text},
        "train": {"optimizer": {"learning_rate": rate}},
        "recommender_prior": prior,
    }
    config = parse_config(content)
    assert parse_config(yaml.safe_load(dump_config(config))) == config
    assert config.prompt.item_text == item_text


@pytest.mark.parametrize(
    ("content", "unknown", "nearest"),
    [
        ({"trian": {}}, "'trian'", "'train'"),
        ({"train": {"curiculum": {}}}, "'train.curiculum'", "'train.curriculum'"),
        (
            {"train": {"curriculum": {"warm_up_fraction": 0}}},
            "'train.curriculum.warm_up_fraction'",
            "'train.curriculum.warmup_fraction'",
        ),
        ({"backbone": {"lora": {"rnak": 4}}}, "'backbone.lora.rnak'", "'backbone.lora.rank'"),
        ({"data": {"folder": "x", "splits": {}}}, "'data.splits'", "'data.split'"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_valid_one(content: dict[str, Any], unknown: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**SMALLEST, **content}, where="run.yaml")
    assert f"run.yaml: unknown key {unknown}" in str(caught.value)
    assert f"Did you mean {nearest}?" in str(caught.value)


def test_unknown_key_without_a_near_one_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'train\.zzz'\. Valid here: epochs, batch_size"):
        parse_config({**SMALLEST, "train": {"zzz": 1}})


@pytest.mark.parametrize(
    ("content", "key", "found"),
    [
        ({"train": {"epochs": "many"}}, "train.epochs", "'many'"),
        ({"train": {"batch_size": 1.5}}, "train.batch_size", "1.5"),
        ({"train": 3}, "train", "3"),
        ({"backbone": {"tuning": "lorra"}}, "backbone.tuning", "'lorra'"),
        ({"train": {"curriculum": {"kind": "hard"}}}, "train.curriculum.kind", "'hard'"),
        ({"train": {"epochs": -1}}, "train.epochs", "-1"),
        ({"backbone": {"lora": {"dropout": 1.0}}}, "backbone.lora.dropout", "1.0"),
        ({"evaluate": {"batch_size": 0}}, "evaluate.batch_size", "0"),
        ({"data": {"folder": "x", "candidates": {"num_negatives": 0}}}, "data.candidates.num_negatives", "0"),
        ({"data": {"folder": "x", "split": {"history_length": 0}}}, "data.split.history_length", "0"),
        ({"data": {"folder": "x", "split": {"min_history": 0}}}, "data.split.min_history", "0"),
        ({"recommender": {"name": "bert4rec"}}, "recommender.name", "'bert4rec'"),
        ({"prior_folds": -1}, "prior_folds", "-1"),
        ({"part_vectors": "both"}, "part_vectors", "'both'"),
        ({"practice": {"steps": -1}}, "practice.steps", "-1"),
        (
            {"practice": {"phases": [{"share": 1.0, "history": 2, "candidates": 1}]}},
            "practice.phases.0.candidates",
            "got 1",
        ),
        ({"evaluate": {"scorer": "listwise"}}, "evaluate.scorer", "'answer'"),
        ({"sequence": {"items": "vectors"}}, "sequence.items", "train.objective.name sequence"),
        (
            {"ranked_candidates": True, "train": {"objective": {"name": "sequence"}}},
            "ranked_candidates",
            "histories alone",
        ),
        ({"prompt": {"item_text": ["year", "genres"]}}, "prompt.item_text", '"{title} ({year}; {genres})"'),
        ({"prompt": {"item_text": []}}, "prompt.item_text", 'write "{title}", not []'),
        ({"prompt": {"item_text": {"title": None}}}, "prompt.item_text", "needs quotes"),
        ({"prompt": {"item_text": None}}, "prompt.item_text", "found nothing"),
        ({"prompt": {"item_text": "{title} ({year"}}, "prompt.item_text", "'{title} ({year'"),
    ],
)
def test_wrong_value_names_file_key_and_value(content: dict[str, Any], key: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**SMALLEST, **content}, where="run.yaml")
    message = str(caught.value)
    assert message.startswith("run.yaml: ")
    assert key in message
    assert found in message


def test_missing_required_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"config: data\.folder is missing: it must be text"):
        parse_config({"output": "runs/x", "data": {}})


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**SMALLEST, "seed": "x" * 500})
    assert len(str(caught.value)) < 250


def test_override_changes_only_what_it_names(tmp_path: Path) -> None:
    text = yaml.safe_dump({**SMALLEST, "train": {"epochs": 3}})
    item_text = 'prompt.item_text="{title} ({year}; {genres})"'
    config = _load(tmp_path, text, "train.curriculum.kind=direct", "data.folder=elsewhere", item_text)
    assert config.train.curriculum.kind == "direct"
    assert config.train.epochs == 3
    assert config.data.folder == "elsewhere"
    assert config.prompt.item_text == "{title} ({year}; {genres})"
    assert override_config(config, ["train.epochs=1e-1", "seed=4"]).train.epochs == 0.1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", r"--set expects key=value, such as train\.epochs=2; found 'train\.epochs'"),
        ("=3", "--set expects key=value"),
        ("output.x=3", "'output' holds a value, not settings"),
        ("data.allow_leaks=[", r"--set data\.allow_leaks=\[: the value is not valid YAML"),
        ("train.epochs=[", r"--set train\.epochs=\[: train\.epochs must be a number > 0, got '\['"),
        ("train.epochs=2 #x", r"train\.epochs must be a number > 0, got '2 #x'"),
        ("train.epoch=2", r"^--set train\.epoch=2: unknown key 'train\.epoch'\. Did you mean 'train\.epochs'\?"),
        ("train.epochs=many", r"^--set train\.epochs=many: train\.epochs must be a number > 0, got 'many'"),
    ],
)
def test_bad_override_is_refused(tmp_path: Path, override: str, message: str) -> None:
    text = yaml.safe_dump(SMALLEST)
    with pytest.raises(ConfigError, match=message):
        _load(tmp_path, text, override)
    with pytest.raises(ConfigError, match=message):
        override_config(parse_config(SMALLEST), [override])


def test_leaks_are_allowed_by_the_names_of_their_checks(tmp_path: Path) -> None:
    text = yaml.safe_dump(SMALLEST)
    assert _load(tmp_path, text).data.allow_leaks == ()
    allowed = _load(tmp_path, text, "data.allow_leaks=[item-order, metadata]")
    assert allowed.data.allow_leaks == ("item-order", "metadata")
    with pytest.raises(
        ConfigError,
        match=r"^--set data\.allow_leaks=\[.*'item-ordr'.* Did you mean 'item-order'\?",
    ):
        _load(tmp_path, text, "data.allow_leaks=[item-ordr]")
    with pytest.raises(ConfigError, match=r"data\.allow_leaks must be a list, such as \[a, b\], got 'item-order'"):
        _load(tmp_path, text, "data.allow_leaks=item-order")


def test_missing_config_file_points_to_examples(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml does not exist\. See configs/"):
        load_config(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("text", ["output: [", "a: b: c", "\tx: 1"])
def test_broken_yaml_names_the_file_and_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml is not valid YAML: [\s\S]*line 1"):
        _load(tmp_path, text)


@pytest.mark.parametrize(("text", "kind"), [("", "nothing"), ("- a", "a list"), ("just words", "text")])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, text: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"expected settings as `key: value`, found {kind}"):
        _load(tmp_path, text)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"output: \xff\xfe")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)


def test_model_config_takes_its_parts_from_the_run() -> None:
    config = parse_config(
        {**SMALLEST, "seed": 7, "recommender_prior": True, "part_vectors": True, "backbone": {"tuning": "full"}}
    )
    assert config.llara.backbone == config.backbone
    assert (config.llara.seed, config.llara.recommender_prior, config.llara.part_vectors) == (7, True, True)
    assert config_to_dict(config)["backbone"]["tuning"] == "full"


def _numbers(kind: type, prefix: str = "") -> Iterator[tuple[str, Any, str, object]]:
    """Every numeric setting below a config: its key, the config that has it, its name there, and its type."""
    for name, hint in hints_of(kind).items():
        bare = bare_type(hint)
        if typing.get_origin(bare) is tuple:
            bare = typing.get_args(bare)[0]
        if isinstance(bare, type) and dataclasses.is_dataclass(bare):
            yield from _numbers(bare, f"{prefix}{name}.")
        elif bare in (int, float):
            yield f"{prefix}{name}", kind, name, hint


NUMBERS = {key: (kind, name, hint) for key, kind, name, hint in _numbers(RunConfig)}
REQUIRED: dict[str, dict[str, Any]] = {
    "Phase": {"share": 0.5, "history": 2, "candidates": 4},
    "RunConfig": {"output": "runs/x", "data": DataConfig(folder="x")},
    "DataConfig": {"folder": "x"},
}


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan"), -float("inf"), "many", True, None])
def test_each_number_of_each_config_has_a_limit_and_keeps_it(key: str, value: object) -> None:
    """Also when the config is made in Python: nothing but its type says what it may be."""
    kind, name, hint = NUMBERS[key]
    assert limits_in_words(hint), f"{key} has no limit"
    if value is None and type(None) in typing.get_args(hint):
        value = 0  # nothing is something here: what another setting says
    with pytest.raises(ConfigError, match=rf"{name} must be "):
        kind(**{**REQUIRED.get(kind.__name__, {}), name: value})


def test_there_are_numbers_to_check() -> None:
    assert len(NUMBERS) > 60
    assert {"practice.phases.share", "backbone.nano.num_heads", "evaluate.rows_limit", "seed"} <= set(NUMBERS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NanoConfig(num_heads=0), r"backbone\.nano\.num_heads must be >= 1, got 0"),
        (lambda: NanoConfig(hidden_size=12, num_heads=4), r"must be even .* got 12 / 4"),
        (lambda: AdaptConfig(block_tokens=1), r"backbone\.adapt\.block_tokens must be >= 2, got 1"),
        (lambda: LlaraConfig(backbone=None), r"backbone must be settings as `key: value`, got nothing"),  # type: ignore[arg-type]
    ],
)
def test_a_config_made_in_python_is_refused_as_one_in_yaml(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"practice": None}, "run.yaml: practice must be settings as `key: value`, got nothing."),
        ({"seed": None}, "run.yaml: seed must be a whole number >= 0, got nothing."),
        ({"train": {"batch_size": True}}, "run.yaml: train.batch_size must be a number, got True."),
        ({"data": {"folder": 5}}, "run.yaml: data.folder must be text, got 5."),
        (
            {"practice": {"phases": [None]}},
            "practice.phases.0 must be settings as `key: value`, got nothing.",
        ),
        (
            {"practice": {"phases": [{"shar": 1}]}},
            "'practice.phases.0.shar'. Did you mean 'practice.phases.0.share'",
        ),
        ({"output": "runs/.."}, "run.yaml: output must name a folder to make, such as runs/movielens, got 'runs/..'."),
    ],
)
def test_messages_are_in_a_persons_words(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**SMALLEST, **content}, where="run.yaml")
    assert message in str(caught.value)
    assert "None" not in str(caught.value)
    assert "Config" not in str(caught.value)


def test_a_date_for_a_text_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"output must be text, got the date 2024-05-01 \(write .* in quotes"):
        _load(tmp_path, "output: 2024-05-01\ndata: {folder: x}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "output: a\ndata: {folder: x}\noutput: b\n",
            r"run\.yaml line 3: 'output' is given .*, first in line 1",
        ),
        ("output: a\ndata:\n  folder: x\n  folder: x\n", r"run\.yaml line 4: 'folder' is given a second time"),
        ("output: a\ndata: {folder: x, folder: y}\n", r"line 2: 'folder'"),
    ],
)
def test_doubled_keys_are_refused_with_their_lines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _load(tmp_path, text)


def test_merged_defaults_of_yaml_are_no_doubled_keys(tmp_path: Path) -> None:
    text = "output: a\ndata: &d {folder: x, seed: 1}\ntrain: {optimizer: &o {weight_decay: 0.1}}\n"
    text += "evaluate: {<<: {examples: 3}, examples: 4}\n"
    assert _load(tmp_path, text).evaluate.examples == 4


@pytest.mark.parametrize(
    "output",
    ["runs/x #2", "2024-05-01", "1", "1e3", "true", "null", "[a]", "{a: 1}", "a: b", "'", "&x", "runs/x=y", "~"],
)
def test_set_reads_a_text_as_the_shell_gave_it(tmp_path: Path, output: str) -> None:
    text = yaml.safe_dump(SMALLEST)
    assert _load(tmp_path, text, f"output={output}").output == output
    assert override_config(parse_config(SMALLEST), [f"data.folder={output}"]).data.folder == output


def test_set_reads_other_values_by_the_type_of_their_key() -> None:
    config = override_config(
        parse_config(SMALLEST),
        [
            "part_vectors=true", "seed=07", "train.optimizer.learning_rate=1e-4", "prompt.templates=[a, b]",
            "train.curriculum.kind=direct", "recommender.imported.path=v 1.npy", "recommender.imported.key=null",
            "data.split={history_length: 7}", 'prompt.item_text="{title} ({year})"',
        ],
    )  # fmt: skip
    assert (config.part_vectors, config.seed, config.train.optimizer.learning_rate) == (True, 7, 1e-4)
    assert (config.prompt.templates, config.train.curriculum.kind) == (("a", "b"), "direct")
    assert (config.recommender.imported.path, config.recommender.imported.key) == (Path("v 1.npy"), None)
    assert config.data.split.history_length == 7
    assert config.prompt.item_text == "{title} ({year})"


def test_the_blame_goes_to_the_option_or_to_the_file(tmp_path: Path) -> None:
    wrong_file = yaml.safe_dump({**SMALLEST, "train": {"batch_size": 0}})
    with pytest.raises(ConfigError, match=r"run\.yaml: train\.batch_size must be"):
        _load(tmp_path, wrong_file, "seed=1", "train.epochs=2")
    assert _load(tmp_path, wrong_file, "train.batch_size=4").train.batch_size == 4
    with pytest.raises(ConfigError, match=r"^--set data\.split=\{history: 3\}: unknown key 'data\.split\.history'"):
        _load(tmp_path, yaml.safe_dump(SMALLEST), "data.split={history: 3}")
    with pytest.raises(ConfigError, match=r"^--set evaluate\.scorer=listwise: evaluate\.scorer listwise needs"):
        _load(tmp_path, yaml.safe_dump(SMALLEST), "evaluate.scorer=listwise")


def test_the_models_settings_are_the_runs_own_not_copies_of_them() -> None:
    names = {item.name for item in dataclasses.fields(LlaraConfig)}
    config = parse_config({**SMALLEST, "seed": 3, "prompt": {"max_title_tokens": 5}})
    assert all(getattr(config.llara, name) == getattr(config, name) for name in names)
    assert not names & set(vars(RunConfig)["__annotations__"])
