"""The passages of an index in the plane, made in the background and kept between runs.

$XDG_CACHE_HOME/clsearch/maps/HASH.map      HASH: of the index' path; the file is 0600, and holds
                                            the key of the commit in a line, and JSON to be sent
"""

import base64
import hashlib
import json
import os
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...index.config import user_cache
from ...index.store.snapshot import Outline, Snapshot
from ...index.types import Json
from ...index.vectors import Segment, plane, vectors
from . import facets

SHOWN = 50_000  # passages; of more, a sample
SEED = 1234
COLOURED = 8  # keys to colour by
LABELS = 10  # values of each that have a colour of their own
VERSION = 1  # of what is kept
SIDE = 65_535  # coordinates are 16 bits


@dataclass(frozen=True, slots=True)
class Map:
    """A map as it is sent: JSON of `draw`, of the commit that `key` names."""

    key: str
    body: bytes


class Maps:
    """The maps of all indexes of a server, made one at a time in a thread of their own."""

    def __init__(self) -> None:
        """None are made yet."""
        self._made: dict[Path, Map] = {}
        self._making: dict[Path, Future[Map]] = {}
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "clsearch-map")

    def get(self, index: Path) -> tuple[Map | None, bool]:
        """The newest map there is of the index at this path, and whether it is of today's commit.

        Where it is not, one is being made when this returns. What keeps it from being made is
        raised by the next call.
        """
        with Snapshot.open(index) as snapshot:
            key = key_of(snapshot)
        with self._lock:
            making = self._making.get(index)
            if making is not None and making.done():
                del self._making[index]
                self._made[index] = making.result()
                making = None
            made = self._made.get(index)
            if making is None and (made is None or made.key != key):
                # What was kept of another commit may be of another index at the same path.
                found = kept(index)
                if found is not None and found.key == key:
                    made = self._made[index] = found
            if made is not None and made.key == key:
                return made, True
            if making is None:
                self._making[index] = self._thread.submit(_make, index)
            return made, False

    def close(self) -> None:
        """Make no more; the one that is being made is waited for."""
        self._thread.shutdown(cancel_futures=True)


def key_of(snapshot: Snapshot) -> str:
    """Which commit of which index it is, for what a map shows: segments have unique names."""
    known = (
        VERSION,
        SHOWN,
        snapshot.generation,
        snapshot.fingerprint,
        [segment.name for segment in snapshot.segments],
    )
    return hashlib.sha256(repr(known).encode()).hexdigest()


def draw(index: Path) -> tuple[str, dict[str, Any]]:
    """(key, map) of the index as it is now; columns are base64 of little-endian numbers.

    `x` and `y` are uint16, on one scale, `id` (of the passage), `start` and `end` float64, `line`
    and `document` uint32, the latter a place in `documents`. `colours` have a byte for each
    document: 0, or the place of its value in `labels`, from 1.
    """
    missed = -1
    while True:
        with Snapshot.open(index) as snapshot:
            try:
                key, known, read = key_of(snapshot), facets.read(snapshot), _read(snapshot)
                break
            except FileNotFoundError:  # a merge took a segment's file: there is a later commit
                if snapshot.generation == missed:
                    raise
                missed = snapshot.generation
    # Drawn after the transaction: a writer's commit waits for its end.
    return key, _drawn(known, read)


def kept(index: Path) -> Map | None:
    """What was kept of the index at this path; None where there is nothing that can be read."""
    try:
        key, _, body = _file(index).read_bytes().partition(b"\n")
    except OSError:
        return None
    return Map(key.decode(errors="replace"), body) if body.endswith(b"}") else None


def keep(index: Path, map: Map) -> None:
    """Keep it for the next run; where the cache folder cannot be written, do without."""
    file = _file(index)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as written:
                written.write(map.key.encode() + b"\n" + map.body)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise


def _make(index: Path) -> Map:
    key, drawn = draw(index)
    made = Map(key, json.dumps(drawn, ensure_ascii=False, separators=(",", ":")).encode())
    keep(index, made)
    return made


def _file(index: Path) -> Path:
    name = hashlib.sha256(str(index.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return user_cache() / "maps" / f"{name}.map"


class _Read(NamedTuple):
    """Of `total` passages those that are shown, with their vectors `[n, d]` and documents."""

    total: int
    passages: list[Outline]
    vectors: NDArray[np.float32]
    documents: dict[int, tuple[str, str, dict[str, Json]]]


def _read(snapshot: Snapshot) -> _Read:
    segments = [Segment.open(snapshot.index, row) for row in snapshot.segments]
    held = np.concatenate([np.empty(0, np.int64), *(segment.ids for segment in segments)])
    ids = np.setdiff1d(held, snapshot.tombstones())
    total = len(ids)
    if total > SHOWN:
        ids = np.random.default_rng(SEED).choice(ids, SHOWN, replace=False)
    passages = snapshot.outlines(ids.tolist())
    _, found = vectors(segments, np.array([one.id for one in passages], np.int64))
    return _Read(total, passages, found, snapshot.titles({one.document for one in passages}))


def _drawn(known: facets.Facets, read: _Read) -> dict[str, Any]:
    passages, documents = read.passages, read.documents
    drawn = plane(read.vectors)
    across = _quantised(drawn.points)
    places = {key: place for place, key in enumerate(documents)}
    return {
        "generation": known.generation,
        "passages": read.total,
        "shown": len(passages),
        "shares": [round(share, 4) for share in drawn.shares],
        "documents": [[id, title] for id, title, _ in documents.values()],
        "colours": _colours(known, list(documents.values())),
        "points": {
            "x": _column(across[:, 0], "<u2"),
            "y": _column(across[:, 1], "<u2"),
            "id": _column([one.id for one in passages], "<f8"),
            "document": _column([places[one.document] for one in passages], "<u4"),
            "start": _column([one.start for one in passages], "<f8"),
            "end": _column([one.end for one in passages], "<f8"),
            "line": _column([one.line for one in passages], "<u4"),
        },
    }


def _quantised(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """Points `[n, 2]` as integers from 0 to SIDE, both axes on one scale."""
    if not len(points):
        return np.empty((0, 2), np.int64)
    low = points.min(axis=0)
    extent = float((points.max(axis=0) - low).max()) or 1.0
    scaled: NDArray[np.int64] = np.rint((points - low) * (SIDE / extent)).astype(np.int64)
    return scaled


def _colours(
    known: facets.Facets, documents: list[tuple[str, str, dict[str, Json]]]
) -> list[dict[str, Any]]:
    colours = []
    for facet in known.facets[:COLOURED]:
        labels = [one.value for one in facet.values[:LABELS]]
        number = {_alike(label): place for place, label in enumerate(labels, start=1)}
        of = [
            number.get(_alike(facet.value_of(id, metadata, known.base)), 0)
            for id, _, metadata in documents
        ]
        colours.append({"name": facet.name, "labels": labels, "of": _column(of, "<u1")})
    return colours


def _alike(value: Json) -> tuple[bool, Json]:
    """What is equal where the filter calls it so: 1 is 1.0, and not true."""
    return isinstance(value, bool), value


def _column(numbers: Any, kind: str) -> str:
    return base64.b64encode(np.asarray(numbers, kind).tobytes()).decode()
