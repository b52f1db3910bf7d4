"""Vectors on disk: which are nearest to a query? One immutable file of vectors is a segment."""

from .build import build, pieces
from .kinds import FAISS_VERSION, Kind, choose
from .plan import Plan, plan
from .projection import Plane, plane
from .recall import Probes, Recall, tune
from .search import scan, search, vectors
from .segment import Segment

__all__ = [
    "FAISS_VERSION",
    "Kind",
    "Plan",
    "Plane",
    "Probes",
    "Recall",
    "Segment",
    "build",
    "choose",
    "pieces",
    "plan",
    "plane",
    "scan",
    "search",
    "tune",
    "vectors",
]
