"""clsearch: a local semantic search engine."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Document", "Encoder", "Index", "Searcher", "__version__"]

if TYPE_CHECKING:
    from .index import Document, Encoder, Index
    from .search import Searcher


def __getattr__(name: str) -> Any:
    """Import on first use: `import clsearch` alone loads no heavy package (PEP 562)."""
    if name == "Searcher":
        from .search import Searcher

        return Searcher
    if name in ("Document", "Encoder", "Index"):
        from . import index

        return getattr(index, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
