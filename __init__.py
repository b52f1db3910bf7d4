"""clsearch: a local semantic search engine."""

TYPE_CHECKING = False  # type checkers read it as true; importing typing would cost 8 ms

__version__ = "0.1.0"
__all__ = ["AsyncSearcher", "Document", "Encoder", "Index", "Searcher", "__version__"]

if TYPE_CHECKING:
    from .index import Document, Encoder, Index
    from .search import AsyncSearcher, Searcher
if not TYPE_CHECKING:

    def __getattr__(name):
        """Import on first use: `import clsearch` alone loads no heavy package (PEP 562)."""
        if name in ("AsyncSearcher", "Searcher"):
            from . import search

            return getattr(search, name)
        if name in ("Document", "Encoder", "Index"):
            from . import index

            return getattr(index, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
