"""Serving: the engine that turns a history into a ranking."""

from llara.serve.engine import Engine

__all__ = ["Engine"]
