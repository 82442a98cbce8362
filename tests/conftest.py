"""Fixtures that every stage shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the repository; tests that need it skip where it is missing."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LLARA_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set LLARA_REAL_DATA to a folder that has movielens_100k, lastfm, ...")
    return folder
