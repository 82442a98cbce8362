"""Texts that a publisher wrote in an encoding of their own, decoded once for each distinct one."""

import html
from collections.abc import Callable

import polars as pl

from llara.data.columns import one_line

_ENTITY = r"&#?[0-9A-Za-z]+;"
_WHITE = r"[\s\p{Cc}]+"


def decoded(values: pl.Series, pattern: str, decode: Callable[[str], str]) -> pl.Series:
    """Values with each text that matches the pattern replaced by what `decode` makes of it.

    Args:
        values: Texts, or lists of texts.
        pattern: Regular expression; texts that it does not find anything in stay as they are.
        decode: Called once for each distinct text.
    """
    texts = values.explode() if values.dtype == pl.List else values
    encoded = texts.filter(texts.str.contains(pattern)).unique()
    if encoded.is_empty():
        return values
    plain = pl.Series([decode(text) for text in encoded], dtype=pl.String)
    if values.dtype == pl.List:
        return values.list.eval(pl.element().replace(encoded, plain))
    return values.replace(encoded, plain)


def without_entities(values: pl.Series) -> pl.Series:
    """Texts, or lists of texts, with "&amp;" and the other HTML entities as characters, on one line each.

    A text in which nothing is left to read is null, or left out of its list.
    """
    plain = decoded(values, _ENTITY, html.unescape)
    if plain.dtype != pl.List:
        texts = one_line(plain)
        return texts.set(texts == "", None)
    line = pl.element().str.replace_all(_WHITE, " ").str.strip_chars(" ")
    return plain.list.eval(line.filter(line != ""))
