"""The read side: a query in, hits out."""

from .hit import Hit
from .searcher import Mode, Searcher

__all__ = ["Hit", "Mode", "Searcher"]
