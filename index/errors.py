"""Every error that clsearch raises on purpose, and how any goes to another process.

A message names value, reason and next step.

ClsearchError
├── UsageError          an argument that cannot be right
│   ├── SourceError     a source that is missing, or is no file or folder
│   └── DocumentMissing no document of this id in the index
├── ReadError           one file that cannot be read as a document
│   └── NotADocument    a file of a kind that holds no text: an image, an archive, a program
├── ModelError          a model that cannot be loaded, or declares what is not known
├── IndexMissing        no index where one was asked for
├── IndexLocked         another process writes to the index
├── IndexMismatch       made by another encoder, or by a newer schema
├── IndexDamaged        a file of the index is not what was written
└── IndexUnwritable     the disk does not take what must be written: full, read-only, failing
"""


class ClsearchError(Exception):
    """Base of all of them: catch this to catch what clsearch can explain."""


class UsageError(ClsearchError):
    """An argument that cannot be right."""


class SourceError(UsageError):
    """A source that is missing, or is no file or folder."""


class DocumentMissing(UsageError):
    """No document of this id in the index."""


class ReadError(ClsearchError):
    """One file that cannot be read as a document. Its message is the reason, without the file."""


class NotADocument(ReadError):
    """A file of a kind that holds no text: an image, an archive, a program. No cause for alarm."""


class ModelError(ClsearchError):
    """A model that cannot be loaded, or that declares what is not known."""


class IndexMissing(ClsearchError):
    """No index where one was asked for."""


class IndexLocked(ClsearchError):
    """Another process writes to the index."""


class IndexMismatch(ClsearchError):
    """The index was made by another encoder, or by a newer schema."""


class IndexDamaged(ClsearchError):
    """A file of the index is not what was written."""


class IndexUnwritable(ClsearchError):
    """The disk does not take what must be written: it is full, read-only, or it fails."""


def portable(error: Exception) -> Exception:
    """The error, or where it cannot be sent to another process, one that says the same."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does then
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
