"""The write side, and what both sides stand on."""

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


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): whoever reads a part of this package loads that part only."""
    if name == "Document":
        from . import types as module
    elif name == "Encoder":
        from . import encoder as module
    elif name in ("Index", "OptimizeReport"):
        from . import index as module
    elif name in ("EncoderLike", "Progress", "SyncReport"):
        from . import batch as module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module, name)
