"""How long the stages of an answer take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Times:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        """Nothing measured yet."""
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what the block takes to the stage of that name."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = 1000 * (time.perf_counter() - began)
            self.stages[name] = self.stages.get(name, 0.0) + took
