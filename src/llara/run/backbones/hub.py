"""The files of a model on the hub: listed with their checksums, then downloaded one by one; none of them is run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from llara.errors import DataError
from llara.ingest.sources.downloading import Remedies, download, fetch_text, public_url

WANTED = (
    "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt",
    "chat_template.jinja", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    "1_Pooling/config.json", "LICENSE*", "NOTICE*",
)  # fmt: skip
"""What a model is read from; programs, pickles and weights for other libraries stay where they are."""
_LARGEST_LIST = 4 * 2**20
OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class HubFile:
    """A file on the hub.

    Attributes:
        name: Its path in the repository.
        checksum: "sha256:..." for large files; None: the hub states none.
    """

    name: str
    checksum: str | None


def fetch_from_hub(
    repository: str, cache: Path, *, remedies: Remedies, on_progress: OnProgress | None = None
) -> tuple[list[Path], str]:
    """Download a model's files; what is there already is kept.

    Args:
        repository: Such as "HuggingFaceTB/SmolLM2-135M-Instruct".
        cache: The files lie in it under the name of the version.
        remedies: What messages propose.
        on_progress: Called with file name, bytes done, bytes in all.

    Returns:
        Where the files are, under their paths in the repository, and which version (commit) they are of.

    Raises:
        DataError: If the hub cannot be reached, or a file is not the expected one.
    """
    from huggingface_hub.constants import ENDPOINT  # noqa: PLC0415 - heeds HF_ENDPOINT

    version, files = _list(f"{ENDPOINT}/api/models/{repository}/revision/main?blobs=true", remedies)
    folder = cache / version
    for file in files:
        if (folder / file.name).is_file() and file.checksum is None:
            continue
        url = f"{ENDPOINT}/{repository}/resolve/{version}/{quote(file.name)}"
        note = None if on_progress is None else _named(on_progress, file.name)
        download(url, folder / file.name, checksum=file.checksum, on_progress=note, remedies=remedies)
    return [folder / file.name for file in files], version


def _named(on_progress: OnProgress, name: str) -> Callable[[int, int | None], None]:
    return lambda done, total: on_progress(name, done, total)


def _list(url: str, remedies: Remedies) -> tuple[str, list[HubFile]]:
    """The newest version and those of its files that are wanted."""
    text = fetch_text(url, limit=_LARGEST_LIST, remedies=remedies)
    try:
        content = json.loads(text)
        version = str(content["sha"])
        listed = {str(file["rfilename"]): (file.get("lfs") or {}).get("sha256") for file in content["siblings"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{public_url(url)} is no list of files ({error!r}). Is the address right?") from error
    if not version.isalnum():
        raise DataError(f"{public_url(url)}: {version!r} is no version of a model.")
    files = [
        HubFile(name, None if checksum is None else f"sha256:{checksum}")
        for name, checksum in sorted(listed.items())
        if any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in WANTED)
    ]
    return version, files
