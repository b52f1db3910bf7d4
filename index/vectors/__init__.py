"""Vectors on disk: which are nearest to a query? One immutable FAISS file is a segment."""

from .build import build
from .kinds import choose
from .search import search, vectors
from .segment import Segment

__all__ = ["Segment", "build", "choose", "search", "vectors"]
