"""Texts to vectors: a model folder's declaration, honoured to the letter."""

from .encoder import Encoder

__all__ = ["Encoder"]
