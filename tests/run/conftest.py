"""A server of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.serving import Server, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "served") as found:
        yield found
