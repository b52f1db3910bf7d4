"""How well a collection with judged queries is searched: nDCG and friends."""

from .evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
