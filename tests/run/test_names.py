from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.errors import ConfigError
from llara.run.names import distinct_names, file_stems


def test_a_model_name_becomes_a_file_name() -> None:
    name = "hybrid LLaRA (free generation), My/Run"
    assert file_stems([name]) == {name: "hybrid-llara-free-generation-my-run"}


@given(st.lists(st.sampled_from(["x_1", "x-1", "x 1", "X-1", "x-1-2", "x/1", "x.1", "!", "?"]), unique=True))
def test_no_two_models_share_a_file(models: list[str]) -> None:
    assert len(set(file_stems(models).values())) == len(models)


def test_runs_are_told_apart_by_as_much_of_their_path_as_it_takes(tmp_path: Path) -> None:
    assert distinct_names([tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "y"]) == ["a/x", "b/x", "y"]
    with pytest.raises(ConfigError, match="is given twice"):
        distinct_names([tmp_path / "a", tmp_path / "b" / ".." / "a"])
