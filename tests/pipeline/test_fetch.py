"""`llara data fetch` from a publisher on this machine."""

import hashlib
import json
import os
import pty
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

from tests.pipeline.conftest import llara

RATINGS = "1::10::5::978300760\n1::11::2::978302109\n2::10::3::978302110\n"
MOVIES = "10::Ran (1985)::Drama\n11::Heat (1995)::Crime\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a server with MovieLens 1M in miniature."""
    folder = tmp_path / "published"
    folder.mkdir()
    with zipfile.ZipFile(folder / "ml-1m.zip", "w") as archive:
        archive.writestr("ml-1m/ratings.dat", RATINGS)
        archive.writestr("ml-1m/movies.dat", MOVIES)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def digest(path: Path, kind: str = "sha256") -> str:
    return f"{kind}:{hashlib.new(kind, path.read_bytes()).hexdigest()}"


def fetch(tmp_path: Path, url: str, *options: str | Path, name: str = "movielens-1m") -> "list[str | Path]":
    return ["data", "fetch", name, tmp_path / "made", "--mirror", url, "--cache", tmp_path / "cache", *options]


def test_files_are_fetched_verified_and_become_a_dataset_folder(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = mirror
    expected = f"ml-1m.zip={digest(folder / 'ml-1m.zip')}"
    done = llara(*fetch(tmp_path, url, "--accept-license", "--checksum", expected, "--min-rating", "3", "--json"))
    found = done.json()
    assert (found["num_users"], found["num_items"], found["num_interactions"]) == (2, 2, 2)
    assert "GroupLens" in done.err
    assert "no redistribution" in done.err
    kept = tmp_path / "cache" / "movielens-1m" / "ml-1m.zip"
    assert kept.read_bytes() == (folder / "ml-1m.zip").read_bytes()
    assert pl.read_parquet(tmp_path / "made" / "items.parquet")["title"].to_list() == ["Ran", "Heat"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("steam", ("--min-rating", "3"), "source 'steam' has no ratings"),
        ("llara-steam", ("--core", "5"), "gives released rows"),
        ("llara-steam", ("--split", "time"), "--split time needs real times"),
        ("movielens-1m", ("--split", "rows"), "--split rows needs released rows"),
        ("movielens-1m", ("--category", "Beauty"), "has no parts"),
        ("movielens-1m", ("--noun", "film"), "'film' is not one of"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_download(
    mirror: tuple[str, Path], tmp_path: Path, name: str, options: tuple[str, ...], message: str
) -> None:
    assert message in llara(*fetch(tmp_path, mirror[0], "--accept-license", *options, name=name)).refused()
    assert not (tmp_path / "cache").exists()


def test_another_file_than_published_is_refused_and_not_kept(mirror: tuple[str, Path], tmp_path: Path) -> None:
    message = llara(*fetch(tmp_path, mirror[0], "--accept-license")).refused()
    assert "md5:c4d9eecfca2ab87c1945afe126590906" in message
    assert "--checksum" in message
    assert not (tmp_path / "made").exists()
    assert not list((tmp_path / "cache").rglob("ml-1m.zip"))


def test_terms_must_be_accepted_before_anything_is_downloaded(mirror: tuple[str, Path], tmp_path: Path) -> None:
    message = llara(*fetch(tmp_path, mirror[0])).refused()
    assert "--accept-license" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_terms_are_asked_about_at_a_terminal(mirror: tuple[str, Path], tmp_path: Path, answer: str, code: int) -> None:
    terminal, theirs = pty.openpty()
    expected = f"ml-1m.zip={digest(mirror[1] / 'ml-1m.zip')}"
    arguments = [str(word) for word in fetch(tmp_path, mirror[0], "--checksum", expected)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from llara.cli import main; main()", *arguments],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.write(terminal, answer.encode())
    _, shown = process.communicate(timeout=60)
    os.close(terminal)
    os.close(theirs)
    assert process.returncode == code, shown
    assert b"Do you accept them?" in shown
    assert (tmp_path / "made").exists() == (code == 0)


def test_a_changing_file_is_checked_against_the_publishers_own_md5(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = mirror
    archive = folder / "ml-latest-small.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("ratings.csv", "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n")
        content.writestr("movies.csv", "movieId,title,genres\n2,Ran (1985),Drama\n")
    sums = folder / "ml-latest-small.zip.md5"
    arguments = fetch(tmp_path, url, "--accept-license", name="movielens-latest-small")
    sums.write_text(f"MD5 (ml-latest-small.zip) = {'0' * 32}\n")
    assert "md5:" + "0" * 32 in llara(*arguments).refused()
    sums.write_text("nothing here\n")
    assert "holds no md5 checksum" in llara(*arguments).refused()
    sums.write_text(f"MD5 (ml-latest-small.zip) = {digest(archive, 'md5')[4:]}\n")
    assert llara(*arguments).code == 0
    sums.unlink()
    assert llara(*arguments, "--force").code == 0, "what is there and recorded is used without asking again"


def test_a_file_nobody_gives_a_checksum_for_is_recorded_and_then_held_to_it(
    mirror: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = mirror
    with zipfile.ZipFile(folder / "ml-1m.zip", "w") as archive:
        archive.writestr("ml-1m.inter", "user_id:token\titem_id:token\ttimestamp:float\nu1\t1\t5\n")
        archive.writestr("ml-1m.item", "item_id:token\tmovie_title:token_seq\n1\tRan\n")
    arguments = fetch(tmp_path, url, "--accept-license", "--category", "ml-1m", name="recbole")
    assert llara(*arguments).code == 0
    kept = tmp_path / "cache" / "recbole-ml-1m" / "ml-1m.zip"
    record = json.loads((kept.parent / "checksums.json").read_text())
    assert record == {"ml-1m.zip": digest(kept)}
    kept.write_bytes(kept.read_bytes() + b"x")
    assert digest(folder / "ml-1m.zip") in llara(*arguments, "--force").refused()


def test_a_broken_record_of_checksums_is_told(mirror: tuple[str, Path], tmp_path: Path) -> None:
    record = tmp_path / "cache" / "movielens-1m" / "checksums.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    message = llara(*fetch(tmp_path, mirror[0], "--accept-license")).refused()
    assert "checksums.json is not valid JSON" in message
    assert "Remove it" in message
    for content in ("[]", '{"ml-1m.zip": 5}'):
        record.write_text(content)
        assert "no record of checksums" in llara(*fetch(tmp_path, mirror[0], "--accept-license")).refused()


@pytest.mark.parametrize(
    ("options", "name", "parts"),
    [
        ((), "movielens-2m", ("unknown source 'movielens-2m'", "movielens-")),
        ((), "amazon-2014", ("several parts", "--category", "Beauty", "Video_Games")),
        (("--category", "Bueaty"), "amazon-2014", ("no part 'Bueaty'", "Beauty")),
        (("--seed", "3"), "movielens-1m", ("--seed is the seed of --ties shuffle",)),
        (("--category", "x"), "movielens-1m", ("has no parts", "--category")),
        (("--checksum", "ml-1m.zip"), "movielens-1m", ("expected NAME=VALUE",)),
        (("--checksum", "ml-1m.zip=abc"), "movielens-1m", ("FILE=sha256:",)),
        (("--checksum", "ml-2m.zip=sha256:abc"), "movielens-1m", ("no such file", "ml-1m.zip")),
        ((), "steam", ("404", "steam_reviews.json.gz")),
    ],
)
def test_refusals_name_the_remedy_and_leave_nothing(
    mirror: tuple[str, Path], tmp_path: Path, options: tuple[str, ...], name: str, parts: tuple[str, ...]
) -> None:
    message = llara(*fetch(tmp_path, mirror[0], "--accept-license", *options, name=name)).refused()
    for part in parts:
        assert part in message
    assert not (tmp_path / "made").exists()


def test_an_existing_folder_is_refused_before_anything_is_downloaded(mirror: tuple[str, Path], tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").write_text("precious")
    assert "exists already" in llara(*fetch(tmp_path, mirror[0], "--accept-license")).refused()
    assert "no folder of this kind" in llara(*fetch(tmp_path, mirror[0], "--accept-license", "--force")).refused()
    assert not (tmp_path / "cache").exists()


def test_the_list_names_all_sources() -> None:
    from llara.ingest.sources import SOURCES

    listed = llara("data", "fetch", "--json").json()["sources"]
    assert [entry["name"] for entry in listed] == list(SOURCES)
    assert all(entry["license"] and entry["files"] for entry in listed)
    shown = llara("data", "fetch")
    assert shown.code == 0
    for name in SOURCES:
        assert name in shown.out
