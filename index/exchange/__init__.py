"""Documents, passages and vectors, to and from files that other programs read: docs/operations.md.

A format is a module here with

    DOCUMENTS: str                                      its file of documents
    def write(folder, outgoing, origin) -> None         all of an index, into a new folder
    def read(file, origin, fingerprint) -> Iterator[Incoming]
"""

from .export import ExportReport, export
from .formats import FORMATS, Source, find
from .intake import take_in

__all__ = ["FORMATS", "ExportReport", "Source", "export", "find", "take_in"]
