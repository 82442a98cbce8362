"""Amazon's files of 2014, 2018 and 2023, each as published."""

import gzip
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from llara.data import DatasetInfo, load_dataset
from llara.errors import DataError
from llara.ingest import ShapeConfig
from llara.ingest.sources import amazon
from llara.ingest.sources.reading import import_source
from llara.ingest.sources.source import Source

SOURCES = {source.name: source for source in amazon.SOURCES}


def put(folder: Path, name: str, *lines: object) -> Path:
    folder.mkdir(exist_ok=True)
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    content = "".join(f"{text}\n" for text in texts).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


def imported(source: str, folder: Path, category: str | None = None, shape: ShapeConfig | None = None) -> DatasetInfo:
    return import_source(SOURCES[source], folder, folder / "dataset", category=category, shape=shape, force=True)


def interactions(folder: Path) -> list[tuple[object, ...]]:
    return pl.read_parquet(folder / "dataset" / "interactions.parquet").rows()


def items(folder: Path) -> list[tuple[object, ...]]:
    return pl.read_parquet(folder / "dataset" / "items.parquet").rows()


def review(user: str, item: str, rating: float, time: int) -> dict[str, object]:
    return {
        "reviewerID": user,
        "asin": item,
        "reviewerName": 'J. "Mac"',
        "helpful": [2, 3],
        "reviewText": "He said \"asin\": \"B9\", 'asin': 'B8'.",
        "overall": rating,
        "summary": "Heavenly Highway Hymns",
        "unixReviewTime": time,
        "reviewTime": "09 13, 2009",
    }


REVIEWS = (
    review("A1", "B1", 5.0, 1252800000),
    review("A2", "0001713", 2.0, 1252800001),
    review("A1", "B7", 4.0, 1252800002),
    review("A1", "B3", 1.0, 1252800003),
)
LOG = [("A1", "B1", 1252800000, 5.0), ("A2", "0001713", 1252800001, 2.0)]
META_2014 = (
    "{'asin': 'B1', 'title': \"Kid's Games &amp; More\", 'price': 37.12, 'imUrl': 'x', 'related': {'also_bought': "
    "['B2', 'B3'], 'asin': ['B4']}, 'salesRank': {'Beauty': 576683}, 'brand': 'Dr. Seuss', 'categories': [['Toys & "
    "Games', 'Puzzles'], ['Toys & Games', \"Men&#39;s\"]], 'description': 'It is \\'good\\', \"asin\": B9'}",
    "{'asin': '0001713', 'categories': [['Books']], 'title': 'Se7en\\n  (DVD)'}",
    "{'asin': 'B1', 'title': 'A second row'}",
    "{'asin': 'B3', 'categories': [['Books']], 'salesRank': {}}",
    "{'asin': 'B5', 'title': 'Bought by nobody'}",
)
ITEMS_2014 = [
    ("B1", "Kid's Games & More", "Dr. Seuss", ["Toys & Games", "Puzzles", "Men's"]),
    ("0001713", "Se7en (DVD)", None, ["Books"]),
]


def test_2014_has_json_reviews_and_python_metadata(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "reviews_Beauty_5.json.gz", *REVIEWS)
    put(folder, "meta_Beauty.json.gz", *META_2014)
    info = imported("amazon-2014", folder)
    assert interactions(folder) == LOG
    assert items(folder) == ITEMS_2014
    assert (info.origin["dropped_items"], info.origin["dropped_unknown_items"]) == (2, 2)
    assert (info.origin["interactions"], info.origin["items"]) == ("reviews_Beauty_5.json.gz", "meta_Beauty.json.gz")
    assert load_dataset(folder / "dataset").log.num_users == 2


def test_reviews_without_a_time_are_left_out_and_counted(tmp_path: Path) -> None:
    timeless = (review("A2", "B1", 1.0, 0), review("A2", "B1", 1.0, -1))
    folder = put(tmp_path / "a", "reviews_Beauty_5.json.gz", timeless[0], *REVIEWS, timeless[1])
    put(folder, "meta_Beauty.json.gz", *META_2014)
    info = imported("amazon-2014", folder)
    assert interactions(folder) == LOG
    assert info.origin["dropped_interactions_without_time"] == 2
    put(folder, "reviews_Beauty_5.json.gz", *timeless)
    with pytest.raises(DataError, match=r"no interaction is left .*Beauty_5.json.gz: .*without_time is 2"):
        imported("amazon-2014", folder)


def test_files_of_another_year_are_told(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "Video_Games_5.json.gz", *REVIEWS)
    put(folder, "meta_Video_Games.json.gz", *({**row, "title": None} for row in META_2018))
    with pytest.raises(DataError, match=r"meta_Video_Games.json.gz: 'title' is missing or empty in all 5 rows"):
        imported("amazon-2018", folder)
    put(folder, "Video_Games.csv.gz", "user,item", "A1,B1")
    put(folder, "meta_Video_Games.jsonl.gz", *META_2023)
    with pytest.raises(DataError, match=r"Video_Games.csv.gz has no column 'timestamp'; found 'user', 'item'"):
        imported("amazon-2023", folder)


@pytest.mark.parametrize("python", [True, False])
def test_2014_full_reviews_are_read_in_either_format(tmp_path: Path, python: bool) -> None:
    folder = put(tmp_path / "a", "reviews_Beauty.json.gz", *(repr(line) if python else line for line in REVIEWS))
    meta = [
        {"asin": "B1", "title": "x", "categories": [["a", "b"], ["a"]]},
        {"asin": "0001713", "title": "y", "brand": " "},
    ]
    put(folder, "meta_Beauty.json.gz", *(repr(line) if python else line for line in meta))
    imported("amazon-2014", folder)
    assert interactions(folder) == LOG
    assert items(folder) == [("B1", "x", None, ["a", "b"]), ("0001713", "y", None, None)]


def test_2014_and_2018_ratings_differ_in_the_order_of_their_columns(tmp_path: Path) -> None:
    old = put(tmp_path / "a", "ratings_Beauty.csv", "A1,B1,5.0,1252800000", "A2,0001713,2.0,1252800001")
    put(old, "meta_Beauty.json.gz", *META_2014)
    imported("amazon-2014", old)
    assert interactions(old) == LOG
    new = put(tmp_path / "b", "All_Beauty.csv", "B1,A1,5.0,1252800000", "0001713,A2,2.0,1252800001")
    put(new, "meta_All_Beauty.json.gz", *META_2018)
    imported("amazon-2018", new)
    assert interactions(new) == LOG


META_2018: tuple[dict[str, object], ...] = (
    {
        "category": ["Video Games", "PC &amp; Mac", "</span></span>"],
        "tech1": "",
        "description": ["asin"],
        "title": "Reversi &quot;Sensory&quot;\n Challenger",
        "also_buy": ["B9"],
        "brand": "Fidelity  Electronics",
        "rank": [">#2,623,937 in Toys"],
        "price": "$12.99",
        "asin": "B1",
        "details": {"asin": "B9"},
    },
    {"category": [], "title": "Plain", "brand": "", "asin": "0001713"},
    {"category": [], "title": "<script>var aPageStart = (new Date()).getTime();</script>", "asin": "B3"},
    {"category": [], "title": "var aPageStart = (new Date()).getTime();", "asin": "B7"},
    {"category": [], "title": "", "asin": "B8"},
)


def test_2018_titles_that_are_pieces_of_a_page_are_none(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "Video_Games_5.json.gz", *REVIEWS)
    put(folder, "meta_Video_Games.json.gz", *META_2018)
    info = imported("amazon-2018", folder)
    assert interactions(folder) == LOG
    assert items(folder) == [
        ("B1", 'Reversi "Sensory" Challenger', "Fidelity Electronics", ["Video Games", "PC & Mac"]),
        ("0001713", "Plain", None, []),
    ]
    assert (info.origin["dropped_items"], info.origin["dropped_unknown_items"]) == (3, 2)


META_2023: tuple[dict[str, object], ...] = (
    {
        "main_category": "Video Games",
        "title": "Dash 8-300",
        "average_rating": 5.0,
        "rating_number": 1,
        "features": ["Features Dash 8-300"],
        "price": None,
        "store": "Aerosoft",
        "categories": ["Video Games", "PC", "Games"],
        "details": {"Rated": "Everyone"},
        "parent_asin": "B1",
        "bought_together": None,
    },
    {"main_category": None, "title": "Phantasmagoria", "store": None, "categories": [], "parent_asin": "0001713"},
    {"main_category": None, "title": None, "store": None, "categories": [], "parent_asin": "B3"},
)
RATINGS_2023 = (
    "user_id,parent_asin,rating,timestamp",
    "A1,B1,5.0,1252800000123",
    "A2,0001713,2.0,1252800001999",
    "A2,B3,2.0,1252800001999",
)


def test_2023_times_are_milliseconds_and_items_are_parents(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "Video_Games.csv.gz", *RATINGS_2023)
    put(folder, "meta_Video_Games.jsonl.gz", *META_2023)
    info = imported("amazon-2023", folder)
    assert interactions(folder) == LOG
    assert items(folder) == [
        ("B1", "Dash 8-300", "Video Games", "Aerosoft", ["Video Games", "PC", "Games"]),
        ("0001713", "Phantasmagoria", None, None, []),
    ]
    assert (info.origin["dropped_items"], info.origin["dropped_unknown_items"]) == (1, 1)


def test_2023_reviews_have_titles_of_their_own(tmp_path: Path) -> None:
    review = {"title": "Great!", "text": "", "asin": "B99", "helpful_vote": 0, "verified_purchase": True}
    rows = (
        {**review, "rating": 5.0, "parent_asin": "B1", "user_id": "A1", "timestamp": 1252800000123},
        {**review, "rating": 2.0, "parent_asin": "0001713", "user_id": "A2", "timestamp": 1252800001999},
    )
    folder = put(tmp_path / "a", "Video_Games.jsonl.gz", *rows)
    put(folder, "meta_Video_Games.jsonl.gz", *META_2023)
    imported("amazon-2023", folder)
    assert interactions(folder) == LOG
    assert [row[1] for row in items(folder)] == ["Dash 8-300", "Phantasmagoria"]


def test_ratings_can_be_required(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "Video_Games.csv.gz", *RATINGS_2023)
    put(folder, "meta_Video_Games.jsonl.gz", *META_2023)
    info = imported("amazon-2023", folder, shape=ShapeConfig(min_rating=3))
    assert (info.num_interactions, info.num_items) == (1, 1)


@pytest.mark.parametrize(
    ("source", "log", "meta"),
    [
        ("amazon-2014", "reviews_{}_5.json.gz", "meta_{}.json.gz"),
        ("amazon-2018", "{}_5.json.gz", "meta_{}.json.gz"),
        ("amazon-2023", "{}.csv.gz", "meta_{}.jsonl.gz"),
    ],
)
def test_one_category_of_several_must_be_named(tmp_path: Path, source: str, log: str, meta: str) -> None:
    folder = tmp_path / "a"
    rows = RATINGS_2023 if source == "amazon-2023" else REVIEWS
    metas = {"amazon-2014": META_2014, "amazon-2018": META_2018, "amazon-2023": META_2023}[source]
    for category in ("Beauty", "Video_Games"):
        put(folder, log.format(category), *rows)
        put(folder, meta.format(category), *metas)
    put(folder, meta.format("Books"), *metas)
    with pytest.raises(DataError, match=r"a holds several categories: Beauty, Video_Games\. Name one with --category"):
        imported(source, folder)
    assert imported(source, folder, category="Video_Games").origin["interactions"] == log.format("Video_Games")
    with pytest.raises(DataError, match=r"has no .*Books.*found "):
        imported(source, folder, category="Books")


def test_a_zip_with_folders_is_read_as_it_is(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "reviews_Beauty_5.json.gz", *REVIEWS)
    put(folder, "meta_Beauty.json.gz", *META_2014)
    with zipfile.ZipFile(tmp_path / "amazon.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"data/amazon/{path.name}")
    info = import_source(SOURCES["amazon-2014"], tmp_path / "amazon.zip", tmp_path / "x")
    assert (info.num_interactions, info.num_items) == (2, 2)


def test_files_that_do_not_belong_together_are_listed(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "reviews_Beauty_5.json.gz", *REVIEWS)
    put(folder, "meta_Baby.json.gz", *META_2014)
    with pytest.raises(DataError, match=r"no category with both .*found interactions of Beauty, .*, items of Baby"):
        imported("amazon-2014", folder)
    with pytest.raises(DataError, match="found interactions of none, items of none"):
        imported("amazon-2023", folder)


def test_broken_lines_are_named(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", "reviews_Beauty_5.json.gz", REVIEWS[0], {**REVIEWS[1], "overall": "good"})
    put(folder, "meta_Beauty.json.gz", *META_2014)
    with pytest.raises(DataError, match=r"reviews_Beauty_5\.json\.gz line 2: overall 'good' is not a number"):
        imported("amazon-2014", folder)
    put(folder, "reviews_Beauty_5.json.gz", REVIEWS[0], '{"asin": "B1", ')
    with pytest.raises(DataError, match=r"reviews_Beauty_5\.json\.gz line 2: expected one JSON object per line"):
        imported("amazon-2014", folder)
    put(folder, "reviews_Beauty_5.json.gz", REVIEWS[0], {"asin": "B1", "overall": 5, "unixReviewTime": 1})
    with pytest.raises(DataError, match=r"reviews_Beauty_5\.json\.gz line 2: reviewerID is missing"):
        imported("amazon-2014", folder)
    put(folder, "reviews_Beauty_5.json.gz", *REVIEWS)
    put(folder, "meta_Beauty.json.gz", META_2014[0], "{'asin': 'B2', 'title': ")
    with pytest.raises(DataError, match=r"meta_Beauty\.json\.gz line 2: expected a Python dict literal"):
        imported("amazon-2014", folder)


def test_the_named_categories_can_be_fetched() -> None:
    def urls(source: Source, category: str) -> list[str]:
        return [file.of_category(category).url for file in source.files]

    assert {"Beauty", "Video_Games"} < set(SOURCES["amazon-2014"].categories)
    assert {"All_Beauty", "Video_Games"} < set(SOURCES["amazon-2018"].categories) & set(
        SOURCES["amazon-2023"].categories
    )
    assert urls(SOURCES["amazon-2018"], "Video_Games") == [
        "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/categoryFilesSmall/Video_Games_5.json.gz",
        "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/metaFiles2/meta_Video_Games.json.gz",
    ]
    ratings = SOURCES["amazon-2023"].files[0]
    assert str(ratings.of_category("Video_Games").checksum).startswith("sha256:a2bde5f3")
    assert ratings.of_category("Books").checksum is None
