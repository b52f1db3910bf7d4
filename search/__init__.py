"""The read side: a query in, hits out."""

TYPE_CHECKING = False  # as in clsearch/__init__.py

if TYPE_CHECKING:
    from .asynchronous import AsyncSearcher
    from .hit import Answer, Hit
    from .scale import Mode
    from .searcher import Searcher

__all__ = ["Answer", "AsyncSearcher", "Hit", "Mode", "Searcher"]

HOMES = {
    "asynchronous": ("AsyncSearcher",),
    "hit": ("Answer", "Hit"),
    "scale": ("Mode",),
    "searcher": ("Searcher",),
}

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import on first use (PEP 562): whoever reads a part of this package loads that only."""
        for module, names in HOMES.items():
            if name in names:
                from importlib import import_module

                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
