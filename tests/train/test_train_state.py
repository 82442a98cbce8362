import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llara.errors import CheckpointError
from llara.model import Llara
from llara.train import OptimizerConfig
from llara.train.optimizer import build_optimizer
from llara.train.state import (
    Counters,
    find_state,
    load_best,
    load_state,
    load_weights,
    read_counters,
    remove_outdated_best,
    save_best,
    save_state,
    trained_weights,
)

Build = Callable[..., Llara]


@pytest.fixture
def llara(tiny_llara: Build) -> Llara:
    return tiny_llara()


@pytest.fixture
def optimizer(llara: Llara) -> torch.optim.Optimizer:
    """An optimizer that has taken one step, so that it has moments."""
    made = build_optimizer(llara, OptimizerConfig())
    for parameter in llara.trainable().values():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    made.zero_grad()
    return made


def test_weights_moments_and_counters_come_back(
    llara: Llara, optimizer: torch.optim.Optimizer, tiny_llara: Build, tmp_path: Path
) -> None:
    counters = Counters(step=7, best_step=5, best_score=0.25, fails=2, fingerprint="abc")
    save_state(tmp_path / "last", llara, optimizer, counters)
    other = tiny_llara()
    fresh = build_optimizer(other, OptimizerConfig(learning_rate=0.5))
    load_state(tmp_path / "last", other, fresh)
    assert read_counters(tmp_path / "last") == counters
    for name, value in trained_weights(llara).items():
        assert torch.equal(other.trainable()[name], value)
    saved, loaded = optimizer.state_dict()["state"], fresh.state_dict()["state"]
    assert saved.keys() == loaded.keys()
    for place, moments in saved.items():
        assert moments.keys() == loaded[place].keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(value, loaded[place][name]) for name, value in moments.items())
    assert fresh.param_groups[0]["lr"] == 0.5  # rates follow the schedule, never the file


def test_copies_do_not_follow_the_model(llara: Llara) -> None:
    before = trained_weights(llara)
    kept = before["placeholder"].clone()
    with torch.no_grad():
        llara.placeholder.add_(1.0)
    assert torch.equal(before["placeholder"], kept)
    load_weights(llara, before)
    assert torch.equal(llara.placeholder, kept)


@pytest.mark.parametrize("start", ["last", "last.old", "nothing"])
@pytest.mark.parametrize("survivable", [0, 1])
def test_a_checkpoint_survives_an_interruption_at_any_rename(
    *,
    llara: Llara,
    optimizer: torch.optim.Optimizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    survivable: int,
) -> None:
    """`survivable` renames succeed before the process dies; `start` is what an earlier interruption left."""
    folder = tmp_path / "last"
    if start != "nothing":
        save_state(folder, llara, optimizer, Counters(step=1))
        folder.rename(tmp_path / start)
    rename = os.replace
    done: list[Path] = []

    def dying(source: Path, target: Path) -> None:
        if len(done) == survivable:
            raise KeyboardInterrupt
        done.append(target)
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dying)
        if start == "last" or survivable == 0:
            with pytest.raises(KeyboardInterrupt):
                save_state(folder, llara, optimizer, Counters(step=2))
        else:
            save_state(folder, llara, optimizer, Counters(step=2))
    found = find_state(folder)
    if start == "nothing" and survivable == 0:
        assert found is None
    else:
        assert found is not None
        load_state(found, llara, optimizer)
        assert read_counters(found).step == (2 if start != "last" and survivable else 1)
    save_state(folder, llara, optimizer, Counters(step=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]
    assert read_counters(folder).step == 3


def test_a_full_disk_leaves_the_previous_checkpoint_and_says_so(
    llara: Llara, optimizer: torch.optim.Optimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path / "last", llara, optimizer, Counters(step=1))

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*last.*No space left.*--resume"):
            save_state(tmp_path / "last", llara, optimizer, Counters(step=2))
    found = find_state(tmp_path / "last")
    assert found is not None
    assert read_counters(found).step == 1


def test_the_best_weights_replace_the_former_best_only_when_told(llara: Llara, tmp_path: Path) -> None:
    weights = trained_weights(llara)
    first, second = Counters(step=3, best_step=3), Counters(step=6, best_step=6)
    save_best(tmp_path, weights, first)
    save_best(tmp_path, weights, second)
    assert load_best(tmp_path, first).keys() == weights.keys()
    remove_outdated_best(tmp_path, second)
    with pytest.raises(CheckpointError, match=r"step-3\.safetensors is missing"):
        load_best(tmp_path, first)
    assert torch.equal(load_best(tmp_path, second)["placeholder"], weights["placeholder"])


def test_weights_of_another_model_are_refused_by_name_or_shape(llara: Llara, tiny_llara: Build) -> None:
    weights = trained_weights(llara)
    with pytest.raises(CheckpointError, match="differ in"):
        load_weights(tiny_llara(tuning="full"), weights)
    with pytest.raises(CheckpointError, match=r"'placeholder' has shape \(5,\), the model's \(32,\)"):
        load_weights(llara, {**weights, "placeholder": torch.zeros(5)})


def test_moments_of_another_model_are_refused(
    llara: Llara, optimizer: torch.optim.Optimizer, tiny_llara: Build, tmp_path: Path
) -> None:
    other = tiny_llara(tuning="full")
    wider = build_optimizer(other, OptimizerConfig())
    for parameter in other.trainable().values():
        parameter.grad = torch.ones_like(parameter)
    wider.step()
    save_state(tmp_path / "last", llara, wider, Counters(step=1))
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is missing or damaged: .* fits none of"):
        load_state(tmp_path / "last", llara, optimizer)


@pytest.mark.parametrize("text", ["", "[]", '{"steps": 3}', '{"step": 3'])
def test_counters_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"state\.json is missing or damaged"):
        read_counters(tmp_path)


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors"])
def test_a_checkpoint_that_holds_no_numbers_is_refused(
    llara: Llara, optimizer: torch.optim.Optimizer, tmp_path: Path, file: str
) -> None:
    save_state(tmp_path / "last", llara, optimizer, Counters(step=1))
    tensors = load_file(tmp_path / "last" / file)
    name = max(tensors)
    tensors[name].fill_(float("nan"))
    save_file(tensors, tmp_path / "last" / file)
    with pytest.raises(CheckpointError, match=rf"{file} is missing or damaged: '{name}' holds NaN or infinity"):
        load_state(tmp_path / "last", llara, optimizer)
