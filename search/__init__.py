"""The read side: a query in, hits out."""

from .hit import Answer, Hit
from .scale import Mode
from .searcher import Searcher

__all__ = ["Answer", "Hit", "Mode", "Searcher"]
