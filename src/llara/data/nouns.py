"""What an item can be called in a prompt."""

from typing import Literal

Noun = Literal["movie", "game", "artist", "book", "item"]
