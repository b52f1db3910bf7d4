"""A library is taken only as what it was built for."""

import ctypes
from importlib.util import find_spec

import pytest

from clsearch.index.compiled import load

WALK = "clsearch.index.vectors.native_walk"


def test_one_that_was_not_built() -> None:
    assert load("clsearch.index.nothing", 0, {}) is None


def test_one_that_is_no_library() -> None:
    assert load("clsearch.index.types", 0, {}) is None


@pytest.mark.skipif(find_spec(WALK) is None, reason="it was not compiled")
def test_one_of_another_version() -> None:
    spec = find_spec(WALK)
    assert spec is not None
    layout = ctypes.CDLL(spec.origin).layout
    layout.restype = ctypes.c_int64
    functions = {"instructions": (ctypes.c_int64, (ctypes.c_int64,))}
    library = load(WALK, layout(), functions)
    assert library.instructions.restype is ctypes.c_int64
    assert load(WALK, layout() + 1, functions) is None
    assert load(WALK, layout(), {**functions, "of_tomorrow": (None, ())}) is None
