"""MovieLens in each of its three forms."""

import zipfile
from pathlib import Path

import polars as pl
import pytest

from llara.data import load_dataset
from llara.errors import ConfigError, DataError
from llara.ingest import ShapeConfig
from llara.ingest.sources import movielens
from llara.ingest.sources.reading import import_source

SOURCES = {source.name: source for source in movielens.SOURCES}


@pytest.fixture
def ml_1m(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text("1::10::5::978300760\n1::11::2::978302109\n2::10::3::978302110\n")
    movies = (
        "10::Amélie: Le Fabuleux Destin (2001)::Comedy|Romance\n11::Toy Story 2 (1999)::Animation\n12::Ran::Drama\n"
    )
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return folder


@pytest.fixture
def ml_20m(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-20m"
    folder.mkdir()
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\r\n1,2,3.5,1112486027\r\n1,29,0.5,1112484676\r\n"
    )
    (folder / "movies.csv").write_text(
        'movieId,title,genres\r\n2,"Quote ""A"", The (1995)",Action|Crime\r\n29,Babylon 5,(no genres listed)\r\n'
    )
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n")
    return folder


def test_the_year_moves_from_the_title_to_the_metadata(ml_1m: Path, tmp_path: Path) -> None:
    info = import_source(SOURCES["movielens-1m"], ml_1m, tmp_path / "x")
    assert (info.num_users, info.num_items, info.num_interactions, info.noun) == (2, 3, 3, "movie")
    items = pl.read_parquet(tmp_path / "x" / "items.parquet")
    assert items.rows() == [
        (10, "Amélie: Le Fabuleux Destin", 2001, "Comedy|Romance"),
        (11, "Toy Story 2", 1999, "Animation"),
        (12, "Ran", None, "Drama"),
    ]
    assert pl.read_parquet(tmp_path / "x" / "interactions.parquet").row(1) == (1, 11, 978302109, 2.0)


def test_csv_files_have_quotes_half_stars_and_movies_without_genres(ml_20m: Path, tmp_path: Path) -> None:
    import_source(SOURCES["movielens-20m"], ml_20m, tmp_path / "x", shape=ShapeConfig(min_rating=3))
    catalog = load_dataset(tmp_path / "x").catalog
    assert {catalog.titles[index] for index in (1, 2)} == {'Quote "A", The', "Babylon 5"}
    assert catalog.metadata.filter(pl.col("genres").is_null())["year"].to_list() == [None]
    assert pl.read_parquet(tmp_path / "x" / "interactions.parquet")["rating"].to_list() == [3.5]


def test_the_zip_as_published_reads_like_its_folder(ml_1m: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w") as archive:
        for path in ml_1m.iterdir():
            archive.write(path, f"ml-1m/{path.name}")
    folder, packed = (
        import_source(SOURCES["movielens-1m"], path, tmp_path / f"out{number}", name="same")
        for number, path in enumerate((ml_1m, tmp_path / "ml-1m.zip"))
    )
    assert folder == packed


def test_only_items_that_are_left_stay_with_a_core(ml_1m: Path, tmp_path: Path) -> None:
    info = import_source(SOURCES["movielens-1m"], ml_1m, tmp_path / "x", shape=ShapeConfig(max_length=1))
    assert (info.num_items, info.num_interactions) == (3, 2)
    shape = ShapeConfig(max_length=1, used_items_only=True)
    info = import_source(SOURCES["movielens-1m"], ml_1m, tmp_path / "y", shape=shape)
    assert info.num_items == 2


def test_broken_lines_and_missing_files_are_named_and_leave_nothing(ml_1m: Path, tmp_path: Path) -> None:
    out = tmp_path / "x"
    with (ml_1m / "ratings.dat").open("a") as file:
        file.write("2::11::4\n")
    with pytest.raises(DataError, match=r"ratings.dat line 4: expected 4 '::'-separated fields, found 3"):
        import_source(SOURCES["movielens-1m"], ml_1m, out)
    (ml_1m / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"ml-1m has no movies.dat; found ratings.dat"):
        import_source(SOURCES["movielens-1m"], ml_1m, out)
    with pytest.raises(DataError, match="does not exist"):
        import_source(SOURCES["movielens-1m"], tmp_path / "none", out)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(DataError, match=r"broken.zip is damaged or cut short"):
        import_source(SOURCES["movielens-1m"], tmp_path / "broken.zip", out)
    assert not [path for path in tmp_path.iterdir() if path.name.lstrip(".").startswith("x")]


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "ml-1m.zip").touch()
    monkeypatch.setattr("llara.ingest.sources.source.members", refuse)
    with pytest.raises(DataError, match=r"cannot read .*ml-1m.zip: Permission denied"):
        import_source(SOURCES["movielens-1m"], tmp_path / "ml-1m.zip", tmp_path / "x")


def test_an_existing_folder_is_refused_before_anything_is_read(ml_1m: Path, tmp_path: Path) -> None:
    import_source(SOURCES["movielens-1m"], ml_1m, tmp_path / "x")
    (ml_1m / "movies.dat").unlink()
    with pytest.raises(ConfigError, match="exists already"):
        import_source(SOURCES["movielens-1m"], ml_1m, tmp_path / "x")


def test_movielens_100k_as_published_is_its_tidy_copy(real_data: Path, tmp_path: Path) -> None:
    info = import_source(SOURCES["movielens-100k"], real_data / "raw" / "ml-100k", tmp_path / "x")
    assert (info.num_users, info.num_items, info.num_interactions) == (943, 1_682, 100_000)
    items = pl.read_parquet(tmp_path / "x" / "items.parquet")
    tidy = pl.read_parquet(real_data / "movielens_100k" / "items.parquet")
    with_year = pl.when(pl.col("year").is_null()).then("title").otherwise(pl.format("{} ({})", "title", "year"))
    ours = items.select(with_year.alias("title")).to_series()
    assert ours.to_list() == tidy["title"].str.replace_all(r"\s+", " ").str.strip_chars().to_list()
    known = tidy["genres"].replace(["unknown", ""], [None, None])
    assert items["genres"].to_list() == known.to_list()
    log = pl.read_parquet(tmp_path / "x" / "interactions.parquet")
    expected = pl.read_parquet(real_data / "movielens_100k" / "interactions.parquet")
    for column in ("user_id", "item_id", "timestamp", "rating"):
        assert log[column].to_list() == expected[column].to_list()


def test_files_of_another_shape_are_told(ml_20m: Path, tmp_path: Path) -> None:
    (ml_20m / "movies.csv").write_text("movieId,title\n2,Ran\n")
    with pytest.raises(DataError, match=r"movies.csv has no column 'genres'; found 'movieId', 'title'. Is it the publ"):
        import_source(SOURCES["movielens-20m"], ml_20m, tmp_path / "x")
    (ml_20m / "movies.csv").write_text("movieId,title,genres\n2,,Drama\n")
    with pytest.raises(DataError, match=r"movies.csv: 'title' is missing or empty in all 1 rows"):
        import_source(SOURCES["movielens-20m"], ml_20m, tmp_path / "x")
    for line, message in (
        ("1|Ran|1985||", "u.item has no column '6'; found '1', '2'"),
        ("1|Ran|1985|x|y|1", "is not what source 'movielens-100k' publishes: .*zero.*files read: u.item, u.genre"),
    ):
        (tmp_path / "u.item").write_text(f"{line}\n")
        (tmp_path / "u.genre").write_text("unknown|zero\n")
        with pytest.raises(DataError, match=message):
            import_source(SOURCES["movielens-100k"], tmp_path, tmp_path / "x")
    assert not (tmp_path / "x").exists()
