"""Vectors on disk: which are nearest to a query? One immutable FAISS file is a segment."""

from .build import build
from .kinds import FAISS_VERSION, choose
from .plan import Plan, plan
from .search import search, vectors
from .segment import Segment

__all__ = ["FAISS_VERSION", "Plan", "Segment", "build", "choose", "plan", "search", "vectors"]
