"""The files of C that the package was built with, as libraries."""

import ctypes
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

# What a function gives, and what it takes.
Signature = tuple[Any, Sequence[Any]]


def load(module: str, layout: int, functions: Mapping[str, Signature]) -> Any:
    """The library that was built as this module, with its functions declared.

    None where there was no compiler, where it is of another system, or of another version: then its
    function `layout` gives another number, or one of the functions is not there.
    """
    found = find_spec(module)
    if found is None or found.origin is None:
        return None
    try:
        library = ctypes.CDLL(found.origin)
        for name, (gives, takes) in {"layout": (ctypes.c_int64, ()), **functions}.items():
            function = getattr(library, name)
            function.restype, function.argtypes = gives, takes
    except (OSError, AttributeError):
        return None
    return library if library.layout() == layout else None
