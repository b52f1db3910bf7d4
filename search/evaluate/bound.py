"""What a metric must not fall below: `nDCG@10=0.7`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...index.errors import UsageError
from .evaluation import Row
from .metrics import Metric


@dataclass(frozen=True, slots=True)
class Bound:
    """The least `value` of a metric's mean, between 0 and 1."""

    metric: Metric
    value: float

    @classmethod
    def parse(cls, text: str) -> "Bound":
        """`nDCG@10=0.7`; UsageError where it is no metric, or no number between 0 and 1."""
        name, equals, number = text.partition("=")
        metric = Metric.parse(name)
        if not equals or not re.fullmatch(r"\s*(0?\.\d+|0|1(\.0*)?)\s*", number):
            raise UsageError(
                f"{text!r} is no bound: write a metric, =, and a number between 0 and 1, as in"
                " nDCG@10=0.7"
            )
        return cls(metric, float(number))

    def broken(self, rows: Sequence[Row]) -> Iterator[str]:
        """Says of each row that is below it by how much."""
        for row in rows:
            value = row.metrics[self.metric.name]
            if value < self.value:
                yield f"{self.metric.name} of {row.name} is {value:.4f}, below {self.value:g}"
