"""The write side, and what both sides stand on."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import EncoderLike, Progress, SyncReport
    from .encoder import Encoder
    from .index import Index, OptimizeReport
    from .types import Document

__all__ = [
    "Document",
    "Encoder",
    "EncoderLike",
    "Index",
    "OptimizeReport",
    "Progress",
    "SyncReport",
]

HOMES = {
    "types": ("Document",),
    "encoder": ("Encoder",),
    "batch": ("EncoderLike", "Progress", "SyncReport"),
    "index": ("Index", "OptimizeReport"),
}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): whoever reads a part of this package loads that part only."""
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
