"""What goes out, and what comes in: a document with its passages and their vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..types import Document, Heading, Json, Passage
from ..vectors.build import UNIT_NORM_TOLERANCE

Vector: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OutgoingPassage:
    """A passage, the hash of what was encoded for it, and its vector `[d]`.

    The vector is None where the passage still waits for one; each value is exactly a float16.
    """

    passage: Passage
    hash: str
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A document of an index, with its passages in the order of the text. `mtime` in seconds."""

    document: Document
    mtime: float | None
    passages: Sequence[OutgoingPassage]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document of a file, from `where`; `vectors` by the hash of the text that each is of."""

    where: str
    document: Document
    mtime: float | None
    vectors: Mapping[str, Vector]


def outline_json(document: Document) -> dict[str, Json]:
    """What is known of the text's shape beside the text: `read_outline` reads it back."""
    return {
        "headings": [[one.start, one.level, one.text] for one in document.headings],
        "pages": [*document.pages],
        "line": document.line,
        "lined": document.lined,
    }


def read_document(
    where: str, id: object, title: object, text: object, metadata: object, outline: object
) -> Document:
    """A document as an export has it. Raises `UsageError` naming what is wrong with which value."""
    for name, value in (("id", id), ("title", title), ("text", text)):
        if not isinstance(value, str):
            raise bad(where, name, value, "text")
    if not id:
        raise bad(where, "id", id, "text that is not empty")
    if not isinstance(metadata, Mapping):
        raise bad(where, "metadata", metadata, "an object")
    if not isinstance(outline, Mapping):
        raise bad(where, "outline", outline, "an object")
    assert isinstance(id, str)
    assert isinstance(title, str)
    assert isinstance(text, str)
    headings, pages = outline.get("headings"), outline.get("pages")
    if not (isinstance(headings, list) and all(_is_heading(one, text) for one in headings)):
        expected = "a list of [start, level, text], each start within the text"
        raise bad(where, "outline.headings", headings, expected)
    if not (isinstance(pages, list) and all(_is_place(page, text) for page in pages)):
        raise bad(where, "outline.pages", pages, "a list of places within the text")
    line, lined = outline.get("line"), outline.get("lined")
    if not _is_count(line) or not isinstance(lined, bool):
        raise bad(where, "outline", outline, "'line', a number from 1 on, and 'lined', a boolean")
    return Document(
        id,
        title,
        text,
        dict(metadata),
        tuple(Heading(*heading) for heading in headings),
        tuple(sorted(pages)),
        line,
        lined,
    )


def read_mtime(where: str, value: object) -> float | None:
    """A time in seconds, or None. Raises `UsageError`."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12:
        return float(value)
    raise bad(where, "mtime", value, "a number of seconds, or null")


def read_count(where: str, value: object) -> int:
    """How many passages a document has. Raises `UsageError`."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    raise bad(where, "passages", value, "a number from 0 on")


def out_of_order(file: Path, document: str, count: int) -> UsageError:
    """The error of passages that do not stand as their documents do."""
    return UsageError(
        f"{file}: the {count} passages of {document!r} do not follow where its turn is: {TOGETHER}"
    )


def left_over(file: Path) -> UsageError:
    """The error of passages after those of the last document."""
    return UsageError(f"{file}: passages are left over after the last document: {TOGETHER}")


def read_vector(where: str, values: Any, dimension: int) -> Vector:
    """A vector `[dimension]` of unit length, rounded as an index keeps it. Raises `UsageError`."""
    try:
        given = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad(where, "vector", values, "a list of numbers") from error
    if given.shape != (dimension,):
        shape = "x".join(map(str, given.shape)) or "no"
        raise UsageError(
            f"{where}: 'vector' has {shape} numbers, where the export says {dimension}. {AGAIN}"
        )
    # Straight to float16: by way of float32, a number might be rounded twice.
    with np.errstate(over="ignore"):
        vector: Vector = given.astype(np.float16).astype(np.float32)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(norm):
        raise UsageError(f"{where}: 'vector' holds a value that is not finite. {AGAIN}")
    if abs(norm - 1) > UNIT_NORM_TOLERANCE:
        raise UsageError(f"{where}: 'vector' has length {norm:.4f}, where 1 is needed. {AGAIN}")
    return vector


TOGETHER = (
    "both files must have the same documents in the same order. Export again, or remove the "
    "export.json beside them: then passages are encoded anew."
)
AGAIN = (
    "Export again, or take the vectors away (the export.json beside them): then passages are "
    "encoded anew."
)


def bad(where: str, name: str, value: object, expected: str) -> UsageError:
    """The error of a value that is not what was expected."""
    return UsageError(
        f"{where}: {name!r} is {value!r:.60}, where {expected} is needed; mend it, or export again"
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**62


def _is_place(value: object, text: str) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= len(text)


def _is_heading(value: object, text: str) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and _is_place(value[0], text)
        and _is_count(value[1])
        and isinstance(value[2], str)
    )
