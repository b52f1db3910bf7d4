"""Computed once for each object, and for several objects at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

from clsearch.index.once import once


def test_it_is_computed_once_for_each_object() -> None:
    computed = []

    class Doubled:
        def __init__(self, number: int) -> None:
            self.number = number

        @once
        def value(self) -> int:
            """Twice the number."""
            computed.append(self.number)
            return 2 * self.number

    two, three = Doubled(2), Doubled(3)
    assert (two.value, three.value, two.value, three.value) == (4, 6, 4, 6)
    assert computed == [2, 3]
    assert Doubled.value.__doc__ == "Twice the number."


def test_threads_compute_for_their_objects_at_the_same_time() -> None:
    """functools.cached_property of Python 3.11 would let the first wait in vain for the second."""
    both = threading.Barrier(2)

    class Waiting:
        @once
        def value(self) -> int:
            return both.wait(10)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(lambda: Waiting().value) for _ in range(2)]
        assert sorted(future.result() for future in running) == [0, 1]
