"""The beginning of a .gguf file: what it says about its model, and where its tensors lie; nothing else is read."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llara.errors import CheckpointError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "<?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_STRING, _ARRAY = 8, 9
_MOST_ENTRIES = 1_000_000
_LONGEST_TEXT = 64 * 2**20


class TensorPlace(NamedTuple):
    """Where a tensor lies: its shape as ggml counts (fastest first), its kind of numbers, its offset in the data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class Header:
    """What a .gguf file says of itself.

    Attributes:
        file: Where it is.
        about: Its entries by key; arrays of texts by their length alone.
        tensors: In the file's order.
        data_start: Where the tensors' numbers begin.
    """

    file: Path
    about: Mapping[str, Any]
    tensors: tuple[TensorPlace, ...]
    data_start: int

    @property
    def architecture(self) -> str:
        """As llama.cpp names it."""
        return str(self.about["general.architecture"])

    def of_architecture(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - numbers and texts
        """An entry under the architecture's name."""
        return self.about.get(f"{self.architecture}.{key}", default)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as .gguf files do, whatever its name; Ollama's have names of hashes alone."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """Read the beginning of a .gguf file, and make sure that the rest is there.

    Raises:
        CheckpointError: If it is damaged, cut short, or of a version that is not known.
    """
    try:
        with path.open("rb") as file:
            about, tensors = _read(file, path)
            alignment = int(about.get("general.alignment", _ALIGNMENT))
            data_start = -(-file.tell() // alignment) * alignment
    except (struct.error, ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror or error}. Check the path in backbone.path."
        ) from error
    if "general.architecture" not in about:
        raise _damaged(path, "it names no architecture")
    header = Header(path, about, tensors, data_start)
    _refuse_cut(header)
    return header


def _read(file: BufferedReader, path: Path) -> tuple[dict[str, Any], tuple[TensorPlace, ...]]:
    version, num_tensors, num_entries = struct.unpack("<IQQ", _bytes(file, 24)[4:])
    if version not in _VERSIONS:
        known = " and ".join(map(str, _VERSIONS))
        raise CheckpointError(
            f"{path} is a .gguf file of version {version}; versions {known} are read. Convert the model anew with a "
            "current llama.cpp, or give its folder in Hugging Face format."
        )
    if max(num_tensors, num_entries) > _MOST_ENTRIES:
        raise ValueError(f"it announces {num_tensors} tensors and {num_entries} entries")
    about: dict[str, Any] = {}
    for _ in range(num_entries):
        key = _text(file)
        about[key] = _value(file, _number(file, "<u4"))
    return about, tuple(_tensor(file) for _ in range(num_tensors))


def _tensor(file: BufferedReader) -> TensorPlace:
    name = _text(file)
    shape = tuple(int(_number(file, "<u8")) for _ in range(_count(_number(file, "<u4"), most=8)))
    return TensorPlace(name, shape, int(_number(file, "<u4")), int(_number(file, "<u8")))


def _value(file: BufferedReader, kind: int) -> Any:  # noqa: ANN401 - numbers, texts, lists of numbers
    if kind in _NUMBERS:
        return _number(file, _NUMBERS[kind])
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        raise ValueError(f"it has an entry of kind {kind}, which there is not")
    inner, count = _number(file, "<u4"), _number(file, "<u8")
    if inner in _NUMBERS:
        kind_of_number = np.dtype(_NUMBERS[inner])
        size = _count(count * kind_of_number.itemsize, most=_LONGEST_TEXT)
        return np.frombuffer(_bytes(file, size), kind_of_number).tolist()
    if inner != _STRING:
        raise ValueError(f"it has an array of kind {inner}, which is not read")
    for _ in range(count):
        _bytes(file, _count(_number(file, "<u8"), most=_LONGEST_TEXT))
    return count


def _text(file: BufferedReader) -> str:
    return _bytes(file, _count(_number(file, "<u8"), most=_LONGEST_TEXT)).decode("utf-8")


def _number(file: BufferedReader, kind: str) -> Any:  # noqa: ANN401 - int, float or bool
    return np.frombuffer(_bytes(file, np.dtype(kind).itemsize), kind)[0].item()


def _count(found: int, *, most: int) -> int:
    if found > most:
        raise ValueError(f"it announces {found} where at most {most} can be")
    return found


def _bytes(file: BufferedReader, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise ValueError("it ends within its header")
    return found


def _refuse_cut(header: Header) -> None:
    """Refuse a file that ends before its last tensor does; kinds of numbers that are not known are refused later."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # noqa: PLC0415 - half a second

    sizes = {kind.value: size for kind, size in GGML_QUANT_SIZES.items() if isinstance(kind, GGMLQuantizationType)}
    found = header.file.stat().st_size
    for place in header.tensors:
        per_block, block_bytes = sizes.get(place.kind, (1, 0))
        end = header.data_start + place.offset + prod(place.shape) // per_block * block_bytes
        if end > found:
            raise _damaged(header.file, f"tensor '{place.name}' should end at byte {end:,}, the file has {found:,}")


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or cut short: {reason}. Download or copy it again.")
