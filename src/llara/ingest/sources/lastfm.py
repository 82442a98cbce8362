"""Last.fm, HetRec 2011: artists that users tagged, in the order of their first tag."""

import numpy as np
import polars as pl

from llara.data.columns import id_column
from llara.data.tables import Table
from llara.ingest.logs import items_from_file
from llara.ingest.readers import read_table
from llara.ingest.shaping import shape_interactions
from llara.ingest.sources.source import RawFiles, ReadOptions, RemoteFile, Source
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawLog

_TABS = TextFormat(separator="\t", quotes=False)
# Most tags are ASCII; the few others are written in Latin-1, unlike the artists' names.
_LATIN1_TABS = TextFormat(separator="\t", quotes=False, encoding="latin-1")
_NUM_TAGS = 10


def _read_hetrec(files: RawFiles, options: ReadOptions) -> RawLog:
    """One interaction per user and artist: the first tag. Times are those of `user_taggedartists.dat`.

    Almost all times are the first of a month, and the file lists a user's artists by identifier: use `ties="shuffle"`
    for histories that do not ascend by identifier. Tags become metadata, counted from the events of training users
    only: those among the first `train_until` of the users by first interaction. The tag events *are* the interactions,
    so a tag from a test user would tell what that user is going to tag.
    """
    events = _events(files)
    artists = items_from_file(_artists(files), item="id", title="name")
    is_known = events.frame["item_id"].is_in(artists["item_id"].implode())
    is_dated = events.frame["timestamp"] >= 0
    kept = events.filter(is_known & is_dated)
    first = _first_per_artist(kept)
    log = first.frame.select("user_id", "item_id", "timestamp")
    training = _training_users(shape_interactions(log, options.shape, source=first.source), options.train_until)
    tags = _tags(kept.frame.filter(pl.col("user_id").is_in(training.implode())), files)
    return RawLog(
        interactions=first.with_frame(log),
        items=artists.join(tags, on="item_id", how="left", maintain_order="left"),
        origin={
            "timestamps": "seconds",
            "dropped_events_of_unlisted_artists": int((~is_known).sum()),
            "dropped_events_before_1970": int((is_known & ~is_dated).sum()),
            "metadata_users": {"columns": ["tags"], "train_until": options.train_until, "users": training.to_list()},
        },
        used_items_only=True,
    )


def _events(files: RawFiles) -> Table:
    """All tag events: user, artist, tag, seconds at the start of the day (UTC)."""
    table = read_table(files.find("user_taggedartists.dat"), _TABS)
    day = pl.date(*(pl.col(part).cast(pl.Int32, strict=False) for part in ("year", "month", "day")))
    return table.with_frame(
        pl.DataFrame(
            [
                id_column(table, "userID", "--user").alias("user_id"),
                id_column(table, "artistID", "--item").alias("item_id"),
                id_column(table, "tagID", "the column name").alias("tag_id"),
                table.frame.select(day.dt.epoch("s").alias("timestamp")).to_series(),
            ]
        )
    )


def _artists(files: RawFiles) -> Table:
    table = read_table(files.find("artists.dat"), _TABS)
    return table.with_frame(table.frame.select("id", "name"))


def _first_per_artist(events: Table) -> Table:
    """The earliest event of each user and artist; ties keep the file's order."""
    order = np.argsort(events.frame["timestamp"].to_numpy(), kind="stable")
    earliest = events.frame.select(pl.struct("user_id", "item_id"))[order].to_series().is_first_distinct().to_numpy()
    first = np.zeros(len(order), dtype=bool)
    first[order[earliest]] = True
    return events.filter(pl.Series(first))


def _training_users(log: pl.DataFrame, share: float) -> pl.Series:
    """The first users by first interaction, as `split_users` takes them."""
    users = log.sort("timestamp", maintain_order=True)["user_id"].unique(maintain_order=True)
    return users.head(int(np.floor(round(len(users) * share, 6))))


def _tags(events: pl.DataFrame, files: RawFiles) -> pl.DataFrame:
    """The tags that most users gave each artist, the most frequent first, joined by "|"."""
    table = read_table(files.find("tags.dat"), _LATIN1_TABS)
    names = pl.DataFrame({"tag_id": id_column(table, "tagID", "the column name"), "tag": table.frame["tagValue"]})
    counts = events.group_by("item_id", "tag_id").agg(pl.col("user_id").n_unique().alias("users"))
    ordered = counts.join(names, on="tag_id").sort("users", "tag_id", descending=[True, False])
    joined = pl.col("tag").head(_NUM_TAGS).str.join("|").alias("tags")
    return ordered.group_by("item_id", maintain_order=True).agg(joined)


SOURCES = (
    Source(
        name="lastfm-hetrec",
        title="Last.fm (HetRec 2011): artists that users tagged, by month; tags of training users",
        noun="artist",
        homepage="https://grouplens.org/datasets/hetrec-2011/",
        license=(
            "Last.fm terms: non-commercial use. Acknowledge Last.fm and I. Cantador, P. Brusilovsky, T. Kuflik, 2nd "
            "Workshop on Information Heterogeneity and Fusion in Recommender Systems (HetRec 2011)."
        ),
        files=(
            RemoteFile(
                url="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
                checksum="sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
            ),
        ),
        read=_read_hetrec,
        gives="log",
    ),
)
