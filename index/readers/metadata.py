"""Parsed values -> metadata that JSON and UTF-8 can hold."""

import math
import re
from collections.abc import Mapping
from typing import Any

from ..types import Json

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def clean(text: str) -> str:
    """Text without lone surrogates and NUL, which JSON can spell and a database cannot hold."""
    return UNSTORABLE.sub("\ufffd", text)


def plain(value: Any) -> Json:
    """The value as JSON: dates as ISO 8601, numbers that are none as null, names as strings.

    Raises ValueError where it is nested deeper than Python's stack.
    """
    try:
        return _plain(value)
    except RecursionError as error:
        raise ValueError("values nested too deep") from error


def _plain(value: Any) -> Json:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): _plain(below) for name, below in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(below) for below in value]
    return clean(value.isoformat() if hasattr(value, "isoformat") else str(value))
