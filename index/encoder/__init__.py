"""Texts to vectors: a model folder's declaration, honoured to the letter."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cross_encoder import CrossEncoder
    from .encoder import Encoder

__all__ = ["CrossEncoder", "Encoder"]

HOMES = {"CrossEncoder": "cross_encoder", "Encoder": "encoder"}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): a query's encoder needs no cross-encoder."""
    if name in HOMES:
        return getattr(import_module(f".{HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
