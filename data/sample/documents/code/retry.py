"""Call something that sometimes fails, without making matters worse."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def retry(call: Callable[[], Result], attempts: int = 5, first: float = 0.2) -> Result:
    """Try again with exponential backoff.

    The pause doubles after each failure and has a random share, so that a thousand callers who were
    refused together do not come back together and knock over a machine that is just getting up.
    The last failure is raised as it is.
    """
    for attempt in range(attempts):
        try:
            return call()
        except OSError:
            if attempt == attempts - 1:
                raise
            time.sleep(first * 2**attempt * random.uniform(0.5, 1.5))
    raise ValueError(f"attempts is {attempts}, and must be 1 or more")
