"""`export.json`: what an export is, and which encoder its vectors are of."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UsageError

FILE = "export.json"
VERSION = 1
LONGEST = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """The format, and the encoder: what loads it, its fingerprint, the length of a vector."""

    format: str
    model: str
    pooling: str | None
    fingerprint: str
    dimension: int

    def write(self, folder: Path, documents: int, passages: int) -> None:
        """Put it beside what it is about."""
        said = {"version": VERSION, **asdict(self), "documents": documents, "passages": passages}
        (folder / FILE).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def read_origin(folder: Path) -> Origin | None:
    """That of an export; None where there is no `export.json`.

    Raises `UsageError` where it is none, or of a newer clsearch.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(LONGEST))
        version = said["version"]
        origin = Origin(
            said["format"], said["model"], said["pooling"], said["fingerprint"], said["dimension"]
        )
        strings = (origin.format, origin.model, origin.pooling or "", origin.fingerprint)
        if not all(isinstance(one, str) for one in strings):
            raise TypeError("text was expected")
        if not isinstance(origin.dimension, int) or not 0 < origin.dimension < 1 << 16:
            raise ValueError(f"the dimension is {origin.dimension!r}")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f"{str(path)!r} is not what `clsearch export` wrote ({type(error).__name__}: {error}). "
            "Export again, or remove it: then all passages are encoded anew."
        ) from error
    if version != VERSION:
        raise UsageError(
            f"{str(path)!r} has version {version!r}; this clsearch reads {VERSION}. Upgrade it."
        )
    return origin
