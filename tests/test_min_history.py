"""A run refuses empty histories before any work."""

import pytest

from llara.errors import ConfigError
from llara.run.config import parse_config


def test_rows_without_history_are_refused_with_the_key() -> None:
    with pytest.raises(ConfigError, match=r"data\.split\.min_history must be at least 1"):
        parse_config({"output": "runs/x", "data": {"folder": "data/x", "split": {"min_history": 0}}})
