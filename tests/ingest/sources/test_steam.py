"""Steam's files as published: gzip, one Python dict literal per line."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from llara.data import load_dataset
from llara.errors import ConfigError, DataError
from llara.ingest import ShapeConfig
from llara.ingest.sources import steam
from llara.ingest.sources.reading import import_source

(STEAM,) = steam.SOURCES

REVIEWS = (
    "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, "
    "u'date': u'2017-12-17', u'text': u\"This wouldn't be acceptable, u'product_id': u'1', at all\", "
    "u'early_access': False, u'page': 1}",
    "{u'username': u'\\u2665 \\u041f\\u0451\\u0442\\u0440 \\u2665', u'hours': 51.1, u'products': 92, u'user_id': "
    "u'76561197960265729', u'product_id': u'620', u'page_order': 1, u'date': u'2017-12-16', u'text': u'\\n\\'10/10\\' "
    "\"fun\"', u'early_access': False, u'page': 1, u'found_funny': 2, u'compensation': u'Product received for free'}",
    "{u'username': u\"it's me\", u'product_id': u'620', u'date': u'2017-12-17', u'text': u'', u'early_access': True}",
    "{u'username': u'Chaos Syren', u'product_id': u'620', u'date': u'2017-12-18', u'text': u'', u'early_access': True}",
    "{u'username': u'12.0', u'product_id': u'620', u'date': u'2017-12-18', u'text': u''}",
    "{u'username': u' ', u'product_id': u'620', u'date': u'2017-12-18', u'text': u''}",
    "{u'username': u'12', u'product_id': u'99', u'date': u'2017-12-18', u'text': u'a game that the store has no more'}",
    "{u'username': u'12', u'product_id': u'70', u'date': u'2010-10-15', u'text': u'None'}",
)
GAMES = (
    "{u'publisher': u'Kotoshiro', u'genres': [u'Action', u'Design &amp; Illustration'], u'app_name': u'Lost Summoner "
    "Kitty', u'title': u'Lost Summoner Kitty', u'url': u'http://store.steampowered.com/app/725280/', u'release_date': "
    "u'2018-01-04', u'tags': [u'Strategy', u\"1990's\"], u'discount_price': 4.49, u'specs': [u'Single-player'], "
    "u'price': 4.99, u'early_access': False, u'id': u'725280', u'developer': u'Kotoshiro'}",
    "{u'app_name': u'Portal\\u00ae 2 &amp; more', u'sentiment': u'Very Positive', u'metascore': 95, "
    "u'release_date': u'Soon..', u'price': u'Free to Play', u'id': u'620'}",
    "{u'url': u'http://store.steampowered.com', u'price': 19.99, u'early_access': False}",
    "{u'title': u'Twice', u'id': u'620'}",
    "{u'title': u'', u'id': u'71'}",
    "{u'title': u'Half-Life', u'app_name': u'Half-Life', u'release_date': u'Nov 1998', u'publisher': u'Valve', u'id': "
    "u'70', u'developer': u'Valve', u'genres': [u'Action']}",
    "{u'title': u'Never reviewed', u'id': u'72'}",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "steam")


def written(folder: Path, reviews: tuple[str, ...] = REVIEWS, games: tuple[str, ...] = GAMES) -> Path:
    folder.mkdir()
    for name, lines in (("steam_reviews.json.gz", reviews), ("steam_games.json.gz", games)):
        (folder / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return folder


def test_reviews_become_interactions_of_display_names_with_days(folder: Path, tmp_path: Path) -> None:
    info = import_source(STEAM, folder, tmp_path / "x")
    assert (info.num_users, info.num_items, info.num_interactions, info.noun) == (5, 3, 6, "game")
    assert pl.read_parquet(tmp_path / "x" / "interactions.parquet").rows() == [
        ("Chaos Syren", 725280, 1513468800),
        ("♥ Пётр ♥", 620, 1513382400),
        ("it's me", 620, 1513468800),
        ("Chaos Syren", 620, 1513555200),
        ("12.0", 620, 1513555200),
        ("12", 70, 1287100800),
    ]
    loaded = load_dataset(tmp_path / "x")
    assert loaded.log.num_users == 5


def test_games_have_what_the_store_says_and_no_sum_of_reviews(folder: Path, tmp_path: Path) -> None:
    import_source(STEAM, folder, tmp_path / "x")
    items = pl.read_parquet(tmp_path / "x" / "items.parquet")
    assert items.columns == ["item_id", "title", "year", "genres", "tags", "publisher", "developer"]
    assert items.rows() == [
        (
            725280,
            "Lost Summoner Kitty",
            2018,
            ["Action", "Design & Illustration"],
            ["Strategy", "1990's"],
            "Kotoshiro",
            "Kotoshiro",
        ),
        (620, "Portal® 2 & more", None, None, None, None, None),
        (70, "Half-Life", 1998, ["Action"], None, "Valve", "Valve"),
    ]


def test_what_was_left_out_is_counted(folder: Path, tmp_path: Path) -> None:
    """No identifier, a second row, no title; blank names; a game that is not listed."""
    origin = import_source(STEAM, folder, tmp_path / "x").origin
    assert origin["dropped_items"] == 3
    assert origin["dropped_interactions_of_blank_names"] == 1
    assert origin["dropped_unknown_items"] == 1
    assert (origin["interactions"], origin["items"]) == ("steam_reviews.json.gz", "steam_games.json.gz")


def test_items_that_nobody_reviewed_stay_only_on_demand(folder: Path, tmp_path: Path) -> None:
    info = import_source(STEAM, folder, tmp_path / "x", shape=ShapeConfig(used_items_only=False))
    assert info.num_items == 4


def test_a_broken_line_or_day_is_named(tmp_path: Path) -> None:
    broken = written(tmp_path / "a", reviews=(*REVIEWS[:2], REVIEWS[2][:-9]))
    with pytest.raises(DataError, match=r"steam_reviews\.json\.gz line 3: expected a Python dict literal"):
        import_source(STEAM, broken, tmp_path / "x")
    undated = written(tmp_path / "b", reviews=(REVIEWS[5], REVIEWS[0], REVIEWS[1].replace("2017-12-16", "yesterday")))
    with pytest.raises(DataError, match=r"steam_reviews\.json\.gz line 3: timestamp 'yesterday'"):
        import_source(STEAM, undated, tmp_path / "x")
    broken = written(tmp_path / "c", games=(*GAMES[:3], "{u'genres': {u'a': 1}, u'id': u'5'}"))
    with pytest.raises(DataError, match=r"steam_games\.json\.gz line 4: 'genres' is a dict"):
        import_source(STEAM, broken, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_reviews_without_a_day_are_left_out_and_counted(tmp_path: Path) -> None:
    undated = written(tmp_path / "a", reviews=(*REVIEWS[:2], REVIEWS[1].replace("2017-12-16", " ")))
    before = import_source(STEAM, written(tmp_path / "b", reviews=REVIEWS[:2]), tmp_path / "y")
    info = import_source(STEAM, undated, tmp_path / "x")
    assert info.num_interactions == before.num_interactions
    assert info.origin["dropped_interactions_without_date"] == 1


def test_names_that_differ_in_white_space_alone_are_one_user(tmp_path: Path) -> None:
    other = REVIEWS[0].replace("Chaos Syren", "Chaos\\n Syren ")
    assert other != REVIEWS[0]
    before = import_source(STEAM, written(tmp_path / "a", reviews=REVIEWS[:4]), tmp_path / "x")
    info = import_source(STEAM, written(tmp_path / "b", reviews=(*REVIEWS[:4], other)), tmp_path / "y")
    assert info.num_interactions == before.num_interactions + 1
    assert info.num_users == before.num_users


def test_there_are_no_ratings(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source 'steam' has no ratings"):
        import_source(STEAM, folder, tmp_path / "x", shape=ShapeConfig(min_rating=3))


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "steam_games.json.gz").unlink()
    with pytest.raises(DataError, match=r"no steam_games\.json; found steam_reviews\.json\.gz"):
        import_source(STEAM, folder, tmp_path / "x")
