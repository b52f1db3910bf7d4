"""The write side, and what both sides stand on."""

TYPE_CHECKING = False  # as in clsearch/__init__.py

if TYPE_CHECKING:
    from .batch import EncoderLike
    from .encoder import Encoder
    from .index import Index, OptimizeReport
    from .report import Progress, SyncReport
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
    "batch": ("EncoderLike",),
    "report": ("Progress", "SyncReport"),
    "index": ("Index", "OptimizeReport"),
}

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import on first use (PEP 562): whoever reads a part of this package loads that only."""
        for module, names in HOMES.items():
            if name in names:
                from importlib import import_module

                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
