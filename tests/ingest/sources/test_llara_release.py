"""The LLaRA release's own files give its rows exactly."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.data import SplitConfig, load_dataset, split_dataset
from llara.data.columns import one_line
from llara.errors import ConfigError, DataError
from llara.ingest import ShapeConfig
from llara.ingest.sources import llara_release
from llara.ingest.sources.reading import import_source

SOURCES = {source.name: source for source in llara_release.SOURCES}
CASES = [
    ("movielens", "movielens_100k/llara_rows.parquet", "train", 1682),
    ("lastfm", "lastfm/rows.parquet", "train", 4606),
    ("steam", "steam/rows.parquet", "train_sample", 3581),
]


@pytest.mark.parametrize(("name", "tidy", "train", "padding"), CASES)
def test_released_rows_are_read_exactly(
    real_data: Path, tmp_path: Path, *, name: str, tidy: str, train: str, padding: int
) -> None:
    info = import_source(SOURCES[f"llara-{name}"], real_data / "raw" / "llara-release" / name, tmp_path / "x")
    assert info.num_items == padding
    dataset = load_dataset(tmp_path / "x")
    split = split_dataset(dataset, SplitConfig(method="rows", min_history=0))
    ids = np.array([padding, *dataset.catalog.item_ids[1:]])
    released = pl.read_parquet(real_data / tidy)
    for theirs, ours in ((train, "train"), ("val", "validation"), ("test", "test")):
        expected = released.filter(split=theirs)
        rows = getattr(split, ours)
        assert len(rows) == len(expected) > 0
        assert ids[rows.history].tolist() == expected["seq"].to_list()
        assert ids[rows.target].tolist() == expected["next"].to_list()


def test_titles_may_hold_the_separator(real_data: Path, tmp_path: Path) -> None:
    import_source(SOURCES["llara-steam"], real_data / "raw" / "llara-release" / "steam", tmp_path / "x")
    titles = load_dataset(tmp_path / "x").catalog.titles
    assert sum("::" in title for title in titles) > 0
    assert set(titles[1:]) == set(one_line(pl.read_parquet(real_data / "steam" / "items.parquet")["title"]))


def test_released_rows_are_not_shaped(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "raw" / "llara-release" / "steam"
    with pytest.raises(ConfigError, match=r"read as they are. Leave out --min-rating"):
        import_source(SOURCES["llara-steam"], raw, tmp_path / "x", shape=ShapeConfig(core=5))
    assert not (tmp_path / "x").exists()


def test_a_missing_part_is_named(real_data: Path, tmp_path: Path) -> None:
    for path in (real_data / "raw" / "llara-release" / "lastfm").iterdir():
        if not path.name.startswith("Val"):
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(DataError, match=r"has no Val_data.df or val_data.df; found Test_data.df"):
        import_source(SOURCES["llara-lastfm"], tmp_path, tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "steam",
            "".join(f"{number}::Artist {number}\n" for number in range(4_606)),
            "lists 4,606 .*'llara-steam' has 3,581, .*files of 'llara-lastfm'",
        ),
        ("lastfm", "0::Ran\n2::Heat\n", "lists 2 items, .*'llara-lastfm' has 4,606, .*unchanged"),
        ("steam", "".join(f"{number + 1}::Game {number}\n" for number in range(3_581)), "numbered from 0"),
        ("movielens", "0::Ran\n", "'llara-movielens' has 1,682"),
    ],
)
def test_another_data_set_of_the_release_is_refused_with_its_name(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / "id2name.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        import_source(SOURCES[f"llara-{name}"], tmp_path, tmp_path / "x")
    assert not (tmp_path / "x").exists()
