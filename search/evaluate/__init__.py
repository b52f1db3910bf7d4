"""How well judged queries are answered, and whether one way to answer is better than another."""

from .asking import Setting
from .bound import Bound
from .collection import Collection, check_file, of_beir, of_pairs, of_trec
from .evaluation import Evaluation, Row, evaluate
from .metrics import DEFAULT, Metric

__all__ = [
    "DEFAULT",
    "Bound",
    "Collection",
    "Evaluation",
    "Metric",
    "Row",
    "Setting",
    "check_file",
    "evaluate",
    "of_beir",
    "of_pairs",
    "of_trec",
]
