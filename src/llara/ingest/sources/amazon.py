"""Amazon reviews of 2014, 2018 and 2023, any category, from the files of J. McAuley's group."""

import glob
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from llara.data.columns import id_column
from llara.data.tables import Table
from llara.data.times import TimeUnit
from llara.ingest.readers import read_table
from llara.ingest.sources.categories import chosen_category
from llara.ingest.sources.decoding import without_entities
from llara.ingest.sources.published import having, interactions_of, leaving_out
from llara.ingest.sources.python_literals import is_json_lines, read_python_literals
from llara.ingest.sources.source import RawFiles, Reader, ReadOptions, RemoteFile, Source, titled_items
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawLog

_META = "meta_*.json"
_REVIEW = ("reviewerID", "asin", "overall", "unixReviewTime")
_REVIEW_2023 = ("user_id", "parent_asin", "rating", "timestamp")
_NO_HEADER = TextFormat(header=False)
_MARKUP = r"getTime|<script|</"
"""In a title or category: the 2018 crawl took pieces of the page itself for some."""


def read_amazon_2014(files: RawFiles, options: ReadOptions) -> RawLog:
    """`reviews_*_5.json.gz`, `reviews_*.json.gz` or `ratings_*.csv`, the first that there is, and `meta_*.json.gz`.

    `price`, `salesRank` and `related` are not taken: the latter two sum up what all users did.

    Raises:
        DataError: If a file is missing or a line is malformed; the message names the line.
    """
    log_path, meta_path = _find(
        files, options, logs=("reviews_*_5.json", "reviews_*.json", "ratings_*.csv"), items=_META
    )
    if log_path.name.startswith("ratings_"):
        log, names = read_table(log_path, _NO_HEADER), ("1", "2", "3", "4")
    else:
        log, names = _read_records(log_path, texts=_REVIEW), _REVIEW
    meta = _read_records(meta_path, texts=("asin", "title", "brand"), lists=("categories",))
    return _raw(log, meta, names=names, item="asin", texts=("brand",))


def read_amazon_2018(files: RawFiles, options: ReadOptions) -> RawLog:
    """`*_5.json.gz`, `*.json.gz` or `*.csv`, the first that there is, and `meta_*.json.gz`.

    Rows whose title is a piece of the page's program are untitled. `price`, `rank`, `also_buy` and `also_view` are not
    taken: the latter three sum up what all users did.

    Raises:
        DataError: If a file is missing or a line is malformed; the message names the line.
    """
    log_path, meta_path = _find(files, options, logs=("*_5.json", "*.json", "*.csv"), items=_META)
    if ".csv" in log_path.suffixes:
        log, names = read_table(log_path, _NO_HEADER), ("2", "1", "3", "4")
    else:
        log, names = _read_json(log_path, texts=_REVIEW), _REVIEW
    meta = _read_json(meta_path, texts=("asin", "title", "brand"), lists=("category",))
    meta = meta.with_frame(meta.frame.rename({"category": "categories"}))
    return _raw(log, meta, names=names, item="asin", texts=("brand",))


def read_amazon_2023(files: RawFiles, options: ReadOptions) -> RawLog:
    """`*.csv.gz`, ratings alone, or `*.jsonl.gz`, the reviews, and `meta_*.jsonl.gz`.

    Items are the parents of their variants. `price`, `average_rating`, `rating_number` and `bought_together` are not
    taken: the latter three sum up what all users did.

    Raises:
        DataError: If a file is missing or a line is malformed; the message names the line.
    """
    log_path, meta_path = _find(files, options, logs=("*.csv", "*.jsonl"), items="meta_*.jsonl")
    if ".csv" in log_path.suffixes:
        log = read_table(log_path, columns=_REVIEW_2023)
    else:
        log = _read_json(log_path, texts=_REVIEW_2023)
    texts = ("main_category", "store")
    meta = _read_json(meta_path, texts=("parent_asin", "title", *texts), lists=("categories",))
    return _raw(log, meta, names=_REVIEW_2023, unit="ms", item="parent_asin", texts=texts)


def _find(files: RawFiles, options: ReadOptions, *, logs: Sequence[str], items: str) -> tuple[Path, Path]:
    """The file of interactions and the file of items of one category."""
    category = glob.escape(chosen_category(files, options.name, logs=logs, items=items))
    return files.find(*(log.replace("*", category) for log in logs)), files.find(items.replace("*", category))


def _read_records(path: Path, *, texts: Sequence[str], lists: Sequence[str] = ()) -> Table:
    """Files of 2014: most are Python literals, some strict JSON."""
    if is_json_lines(path):
        table = _read_json(path, texts=texts, lists=lists, depth=2)
        flat = (pl.col(name).list.eval(pl.element().explode()) for name in lists)
        return table.with_frame(table.frame.with_columns(flat))
    return read_python_literals(path, texts=texts, lists=lists)


def _read_json(path: Path, *, texts: Sequence[str], lists: Sequence[str] = (), depth: int = 1) -> Table:
    """Numbers are read as texts: one that is none is then found together with its line."""
    kind: pl.DataType = pl.String()
    for _ in range(depth):
        kind = pl.List(kind)
    types: dict[str, pl.DataType] = {**dict.fromkeys(texts, pl.String()), **dict.fromkeys(lists, kind)}
    return read_table(path, json_types=types)


def _raw(
    log: Table,
    meta: Table,
    *,
    names: tuple[str, str, str, str],
    item: str,
    texts: Sequence[str],
    unit: TimeUnit = "s",
) -> RawLog:
    """Products with their title, the named texts and their categories, each once; reviews that have a time.

    Args:
        log: Reviews or ratings.
        meta: Products.
        names: The log's columns of user, item, rating and time.
        item: The products' column of the identifier.
        texts: Further columns of the products that are texts.
        unit: What times count. Zero and less, which is no time of a shop founded in 1994, stand where there is none.
    """
    user, product, rating, time = names
    is_timeless = (having(log, time).frame[time].cast(pl.Int64, strict=False) <= 0).fill_null(value=False)
    timed, timeless = leaving_out(is_timeless, log)
    having(meta, item, "title")
    title = without_entities(meta.frame["title"])
    categories = meta.frame["categories"].list.eval(pl.element().filter(~pl.element().str.contains(_MARKUP)))
    frame = pl.DataFrame(
        [
            id_column(meta, item, "--items-item").alias("item_id"),
            title.set(title.str.contains(_MARKUP), None),
            *(without_entities(meta.frame[name]) for name in texts),
            without_entities(categories).list.unique(maintain_order=True),
        ]
    )
    items, dropped = titled_items(frame)
    return RawLog(
        interactions=interactions_of(timed, user=user, item=product, time=time, rating=rating, unit=unit),
        items=items,
        origin={
            "interactions": log.source,
            "items": meta.source,
            "timestamps": "seconds",
            "dropped_items": dropped,
            "dropped_interactions_without_time": timeless,
        },
        drop_unknown_items=True,
        used_items_only=True,
    )


_CATEGORIES_2014 = (
    "Amazon_Instant_Video", "Apps_for_Android", "Automotive", "Baby", "Beauty", "Books", "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics",
    "Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Home_and_Kitchen", "Kindle_Store", "Movies_and_TV",
    "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors",
    "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games",
)  # fmt: skip
_CATEGORIES_2018 = (
    "AMAZON_FASHION", "All_Beauty", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Books", "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards",
    "Grocery_and_Gourmet_Food", "Home_and_Kitchen", "Industrial_and_Scientific", "Kindle_Store", "Luxury_Beauty",
    "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden",
    "Pet_Supplies", "Prime_Pantry", "Software", "Sports_and_Outdoors", "Tools_and_Home_Improvement",
    "Toys_and_Games", "Video_Games",
)  # fmt: skip
_CATEGORIES_2023 = (
    "All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products",
    "Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food",
    "Handmade_Products", "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen",
    "Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments",
    "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Software", "Sports_and_Outdoors",
    "Subscription_Boxes", "Tools_and_Home_Improvement", "Toys_and_Games", "Unknown", "Video_Games",
)  # fmt: skip
_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_UCSD = "https://mcauleylab.ucsd.edu/public_datasets/data"
_CHECKSUMS_2023 = (("Video_Games", "sha256:a2bde5f3b945960d161538c200dd87845e6ee471b46da96410dde61613c6901c"),)


def _source(
    year: int,
    read: Reader,
    *,
    columns: str,
    homepage: str,
    cite: str,
    files: tuple[RemoteFile, RemoteFile],
    categories: tuple[str, ...],
) -> Source:
    return Source(
        name=f"amazon-{year}",
        title=f"Amazon reviews to {year}, 5-core: ratings of products with {columns}",
        noun="item",
        homepage=homepage,
        license=f"No explicit license; crawled from Amazon's pages and published for research. Cite {cite}.",
        files=files,
        read=read,
        categories=categories,
    )


SOURCES = (
    _source(
        2014,
        read_amazon_2014,
        columns="days; title, brand, categories",
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
        cite="R. He and J. McAuley, Ups and Downs (WWW 2016), and J. McAuley et al., Image-Based Recommendations on "
        "Styles and Substitutes (SIGIR 2015)",
        files=(
            RemoteFile(url=f"{_SNAP}/reviews_{{category}}_5.json.gz"),
            RemoteFile(url=f"{_SNAP}/meta_{{category}}.json.gz"),
        ),
        categories=_CATEGORIES_2014,
    ),
    _source(
        2018,
        read_amazon_2018,
        columns="days; title, brand, categories",
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/",
        cite="J. Ni, J. Li and J. McAuley, Justifying Recommendations Using Distantly-Labeled Reviews and "
        "Fine-Grained Aspects (EMNLP 2019)",
        files=(
            RemoteFile(url=f"{_UCSD}/amazon_v2/categoryFilesSmall/{{category}}_5.json.gz"),
            RemoteFile(url=f"{_UCSD}/amazon_v2/metaFiles2/meta_{{category}}.json.gz"),
        ),
        categories=_CATEGORIES_2018,
    ),
    _source(
        2023,
        read_amazon_2023,
        columns="times; title, main category, categories, store",
        homepage="https://amazon-reviews-2023.github.io/",
        cite="Y. Hou et al., Bridging Language and Items for Retrieval and Recommendation (arXiv:2403.03952)",
        files=(
            RemoteFile(
                url=f"{_UCSD}/amazon_2023/benchmark/5core/rating_only/{{category}}.csv.gz", checksums=_CHECKSUMS_2023
            ),
            RemoteFile(url=f"{_UCSD}/amazon_2023/raw/meta_categories/meta_{{category}}.jsonl.gz"),
        ),
        categories=_CATEGORIES_2023,
    ),
)
