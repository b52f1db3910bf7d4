"""The values that many documents share, each with the filter that leaves only those."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from ...index.store.snapshot import Snapshot, ValueType
from ...index.types import Json
from ..filters import BUILT_IN
from ..filters.tokens import KEYWORDS

KEYS = 12
VALUES = 12  # of each key
LONGEST = 80  # characters; longer text is no value to choose by
DOCUMENTS = 200_000  # whose metadata is read: a second

_BOOLEANS = ("true", "false")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Value:
    """A value that `documents` documents have; `where` is the filter for it."""

    value: str | int | float | bool
    documents: int
    where: str


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values of one key of the metadata, or of the folders: `name` is None."""

    name: str | None
    values: tuple[Value, ...]

    def value_of(self, id: str, metadata: Mapping[str, Json], base: str) -> Json:
        """What a document has here: a folder below `base`, or the key's first listed value."""
        if self.name is None:
            return _folder(id, base)
        value = metadata.get(self.name)
        if isinstance(value, list):
            listed = {one.value for one in self.values}
            value = next((one for one in value if _is_plain(one) and one in listed), None)
        return value if _is_plain(value) else None


@dataclass(frozen=True, slots=True)
class Facets:
    """Of one commit. `base` is the folder that all documents are in; `counted` of `documents`."""

    generation: int
    documents: int
    counted: int
    base: str
    facets: tuple[Facet, ...]

    def to_json(self) -> dict[str, Json]:
        """As a client is told."""
        return {
            "generation": self.generation,
            "documents": self.documents,
            "counted": self.counted,
            "facets": [
                {
                    "name": facet.name,
                    "values": [
                        {"value": one.value, "documents": one.documents, "where": one.where}
                        for one in facet.values
                    ],
                }
                for facet in self.facets
            ],
        }


def read(snapshot: Snapshot) -> Facets:
    """The folders first, then the keys whose frequent values reach the most documents.

    A value that all documents have parts nothing, and is left out.
    """
    ids = snapshot.document_ids()
    base = _base(ids[0], ids[-1]) if ids else ""  # they are sorted
    found: dict[str, list[Value]] = {}
    for key, type, value, count in snapshot.metadata_counts(DOCUMENTS, LONGEST):
        literal = _literal(type, value)
        if literal is not None and "\0" not in key and count < len(ids):
            known = type == "true" if type in _BOOLEANS else value
            where = f"{_field(key)} = {literal}"
            found.setdefault(key, []).append(Value(known, count, where))
    keys = [Facet(key, _most(values)) for key, values in found.items()]
    keys.sort(key=lambda facet: (-sum(one.documents for one in facet.values), facet.name or ""))
    facets = [*_folders(ids, base), *keys[:KEYS]]
    return Facets(snapshot.generation, len(ids), min(len(ids), DOCUMENTS), base, tuple(facets))


def _base(first: str, last: str) -> str:
    """The folder that both are in, with the slash at its end."""
    both = zip(first.split("/")[:-1], last.split("/")[:-1], strict=False)
    return "".join(f"{one}/" for one, _ in takewhile(lambda pair: pair[0] == pair[1], both))


def _folders(ids: list[str], base: str) -> Iterator[Facet]:
    counts = Counter(folder for id in ids if (folder := _folder(id, base)))
    if len(counts) > 1:
        values = [
            Value(folder, count, f"path like {_text(_pattern(f'{base}{folder}/'))}")
            for folder, count in counts.items()
            if "\0" not in folder
        ]
        yield Facet(None, _most(values))


def _folder(id: str, base: str) -> str | None:
    """The folder below `base` that a document is in, None where it is right in it."""
    folder, below, _ = id[len(base) :].partition("/")
    return folder if below else None


def _is_plain(value: Json) -> bool:
    return not isinstance(value, list | dict)


def _most(values: list[Value]) -> tuple[Value, ...]:
    return tuple(sorted(values, key=lambda one: (-one.documents, str(one.value)))[:VALUES])


def _field(key: str) -> str:
    """A key of the metadata as filters name it."""
    bare = _BARE.fullmatch(key) and key.lower() not in KEYWORDS and key not in BUILT_IN
    return key if bare else '"' + key.replace('"', '""') + '"'


def _literal(type: ValueType, value: str | int | float) -> str | None:
    """A value as filters write it; None where they cannot."""
    if type in _BOOLEANS:
        return type
    if isinstance(value, str):
        return None if "\0" in value else _text(value)
    return repr(value) if math.isfinite(value) else None


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _pattern(prefix: str) -> str:
    return re.sub(r"([%_\\])", r"\\\1", prefix) + "%"
