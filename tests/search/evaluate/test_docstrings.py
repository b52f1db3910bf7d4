"""The examples in docstrings are true."""

import doctest
from types import ModuleType

import pytest

from clsearch import terminal
from clsearch.search.evaluate import asking, metrics, runs, significance

MODULES = [asking, metrics, runs, significance, terminal]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples(module: ModuleType) -> None:
    """As written."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
