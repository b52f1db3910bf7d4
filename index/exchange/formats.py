"""Which format a file or folder has, and the module of each."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .origin import Origin, read_origin
from .records import Incoming

# Format -> its file of documents; in this order they are looked for in a folder.
FILES = {"parquet": "documents.parquet", "jsonl": "documents.jsonl", "beir": "corpus.jsonl"}
FORMATS = tuple(FILES)
MAGIC = b"PAR1"  # what a Parquet file begins with


@dataclass(frozen=True, slots=True)
class Source:
    """Documents to import: their file, its format, and of an export where it comes from."""

    file: Path
    format: str
    origin: Origin | None

    def incoming(self, fingerprint: str) -> Iterator[Incoming]:
        """The documents, with those vectors that are of this fingerprint."""
        read: Iterator[Incoming] = module(self.format).read(self.file, self.origin, fingerprint)
        return read


def module(format: str) -> Any:
    """The module of a format. Raises `UsageError` where what it needs is not installed."""
    if format not in FORMATS:
        raise UsageError(f"the format is {format!r}: there are {', '.join(FORMATS)}")
    try:
        return importlib.import_module(f".{format}", __package__)
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise UsageError("Parquet needs pyarrow: pip install 'clsearch[parquet]'") from error


def find(source: str | Path, format: str | None = None) -> Source:
    """What is to be imported from a folder or a file; without a format, it is recognised.

    Raises `UsageError` where there is nothing of the kind.
    """
    path = Path(source)
    if path.is_dir():
        origin = read_origin(path)
        wanted = format or (origin and origin.format)
        for name in [wanted] if wanted else FORMATS:
            module_file = path / FILES.get(name, "")
            if name in FILES and module_file.is_file():
                fitting = origin if origin and origin.format == name else None
                return Source(module_file, name, fitting)
        looked = FILES.get(wanted, wanted) if wanted else ", ".join(FILES.values())
        raise UsageError(
            f"in {str(path)!r} there is no {looked}: name a folder that `clsearch export` made, "
            "one in BEIR's layout, or a file of JSON lines or Parquet"
        )
    try:
        with path.open("rb") as file:
            recognised = "parquet" if file.read(len(MAGIC)) == MAGIC else "jsonl"
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{str(path)!r} cannot be read: {reason}; check the path") from error
    return Source(path, format or recognised, None)
