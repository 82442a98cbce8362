"""Every recommender that can be saved and loaded, by name; `llara.recommender.registry` fills it."""

from llara.recommender.base import Recommender

RECOMMENDERS: dict[str, type[Recommender]] = {}
"""Popularity among them, which is a baseline and not a choice."""
