"""Steam: reviews of games by name, as crawled for SASRec; title, genres, tags, publisher, developer, year of games."""

from pathlib import Path

import polars as pl

from llara.data.columns import id_column, one_line
from llara.ingest.sources.decoding import without_entities
from llara.ingest.sources.published import having, interactions_of, where_filled
from llara.ingest.sources.python_literals import read_python_literals
from llara.ingest.sources.source import RawFiles, ReadOptions, RemoteFile, Source, titled_items
from llara.ingest.writing import RawLog

_YEAR = r"\b((?:19|20)[0-9]{2})\b"


def read_steam(files: RawFiles, options: ReadOptions) -> RawLog:
    """`steam_reviews.json.gz` and `steam_games.json.gz`, one Python dict literal per line.

    Users are their display names, as the publisher counts them: two people of one name are one user, also where they
    differ in white space alone. Times are days, so that many are equal. There are no ratings. Neither `sentiment` nor
    `metascore` is taken: they sum up opinions.

    Raises:
        DataError: If a file is missing or a line is malformed; the message names the line.
    """
    games_path = files.find("steam_games.json")
    reviews_path = files.find("steam_reviews.json", "steam_new.json")
    items, dropped_items = _read_games(games_path)
    reviews = read_python_literals(reviews_path, texts=("username", "product_id", "date"))
    named, nameless = where_filled(reviews, "username")
    dated, undated = where_filled(named, "date")
    dated = dated.with_frame(dated.frame.with_columns(one_line(dated.frame["username"])))
    return RawLog(
        interactions=interactions_of(dated, user="username", item="product_id", time="date"),
        items=items,
        origin={
            "interactions": reviews_path.name,
            "items": games_path.name,
            "timestamps": "seconds, of whole days",
            "dropped_items": dropped_items,
            "dropped_interactions_of_blank_names": nameless,
            "dropped_interactions_without_date": undated,
        },
        drop_unknown_items=True,
        used_items_only=True,
    )


def _read_games(path: Path) -> tuple[pl.DataFrame, int]:
    """Games with an identifier and a title, and how many rows were left out."""
    texts_read = ("id", "title", "app_name", "release_date", "publisher", "developer")
    games = read_python_literals(path, texts=texts_read, lists=("genres", "tags"))
    having(games, "id", "app_name")
    identified = games.filter(games.frame["id"].is_not_null())
    texts = {name: without_entities(identified.frame[name]) for name in ("title", "app_name", "publisher", "developer")}
    items = identified.frame.select(
        id_column(identified, "id", "--items-item").alias("item_id"),
        pl.coalesce(texts["title"], texts["app_name"]),
        pl.col("release_date").str.extract(_YEAR).cast(pl.Int64).alias("year"),
        without_entities(identified.frame["genres"]),
        without_entities(identified.frame["tags"]),
        texts["publisher"],
        texts["developer"],
    )
    titled, dropped = titled_items(items)
    return titled, dropped + len(games.frame) - len(items)


SOURCES = (
    Source(
        name="steam",
        title="Steam: reviews of games with days; title, year, genres, tags, publisher, developer",
        noun="game",
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data",
        license=(
            "No explicit license; crawled from the Steam store and published for research. Cite W.-C. Kang and "
            "J. McAuley, Self-Attentive Sequential Recommendation (ICDM 2018)."
        ),
        files=(
            RemoteFile(
                url="https://cseweb.ucsd.edu/~wckang/steam_reviews.json.gz",
                checksum="sha256:40c6343deedf488689987749c5f8435233da48c163fbaa2a7766c215d584bc61",
            ),
            RemoteFile(
                url="https://cseweb.ucsd.edu/~wckang/steam_games.json.gz",
                checksum="sha256:717f4653a26585fec8f463f59311a654127c2ed66b07b9f78b4c0ce64961c740",
            ),
        ),
        read=read_steam,
        gives="log",
    ),
)
