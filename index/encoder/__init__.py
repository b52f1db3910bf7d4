"""Texts to vectors: a model folder's declaration, honoured to the letter."""

from .cross_encoder import CrossEncoder
from .encoder import Encoder

__all__ = ["CrossEncoder", "Encoder"]
