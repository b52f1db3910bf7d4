"""A file -> its documents. One module a format; a new format is a new module here and nothing else.

A format's module declares

    SUFFIXES: tuple[str, ...]                   what its files are named, lower case, with the dot
    def read(file: BinaryIO, document_id: str) -> Iterator[Document | Skipped]
    def recognises(head: bytes) -> bool         optional: whether data of no known name is its own

and imports the library that parses it inside `read`, so that no format costs those who lack it.
A module without SUFFIXES is shared by the others.
"""

import importlib
import os
import pkgutil
import stat
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from ..errors import NotADocument, ReadError
from ..types import Document, Skipped
from . import text
from .binaries import is_named_as_binary
from .decoding import HEAD


def read(path: str | Path, document_id: str) -> Iterator[Document | Skipped]:
    """Yield the documents of the file at `path`: one, or one a record.

    A file's only document has the id `document_id`, a record's is `document_id#record`. A record
    that cannot be read comes as `Skipped`, named `document_id:line`; the rest is read on.

    Raises NotADocument where the file is of a kind that holds no text (which in a folder is no
    surprise), and ReadError where it should be readable and is not.
    """
    name = os.fspath(path)
    if is_named_as_binary(name):
        raise NotADocument("its name says that it holds no text")
    with _open(name) as file:
        yield from _read(file, document_id, os.path.splitext(name)[1].lower())


def read_stream(data: bytes, document_id: str) -> Iterator[Document | Skipped]:
    """Yield the documents of data that has no file, as `read` does; its format is recognised."""
    yield from _read(BytesIO(data), document_id, "")


def _open(path: str) -> BinaryIO:
    # What was a file when it was listed may be a pipe by now: opening it must not wait.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise ReadError(f"it cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ReadError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def _read(file: BinaryIO, document_id: str, suffix: str) -> Iterator[Document | Skipped]:
    reader = _by_suffix().get(suffix)
    named = reader is not None
    try:
        if reader is None:
            reader = _recognised(file)
        yield from reader.read(file, document_id)
    except NotADocument as error:
        if named:
            raise ReadError(f"{error}, though it is named {suffix}") from error
        raise
    except ReadError:
        raise
    except OSError as error:
        raise ReadError(f"it cannot be read: {error.strerror}") from error
    except Exception as error:
        # Whatever a parser trips over in one file must not keep the others out of the index.
        raise ReadError(f"its parser failed: {type(error).__name__}: {error}") from error


def _recognised(file: BinaryIO) -> ModuleType:
    head = file.read(HEAD)
    file.seek(0)
    for module in _modules():
        if hasattr(module, "recognises") and module.recognises(head):
            return module
    return text


@cache
def _modules() -> tuple[ModuleType, ...]:
    found = pkgutil.iter_modules(__path__, prefix=f"{__name__}.")
    modules = (importlib.import_module(module.name) for module in found)
    return tuple(module for module in modules if hasattr(module, "SUFFIXES"))


@cache
def _by_suffix() -> dict[str, ModuleType]:
    return {suffix: module for module in _modules() for suffix in module.SUFFIXES}
