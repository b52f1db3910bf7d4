"""A new folder that is there whole, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import IndexUnwritable, UsageError
from .files import sync_folder

PARTIAL = "partial"


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `destination` once the block has ended well.

    Until then it stands beside it as `.NAME.partial-…`: a block that fails leaves nothing, a
    process that is killed leaves a folder of that name. Folders are 0700 and files 0600, whatever
    the umask, and all are on the disk to stay when this returns.

    Raises `UsageError` where there is something at `destination`, or no folder to put it in, and
    `IndexUnwritable` where the system refuses.
    """
    if os.path.lexists(destination):
        raise UsageError(
            f"there is something at {str(destination)!r} already; name a folder that is not there"
        )
    destination = Path(os.path.abspath(destination))
    if not destination.parent.is_dir():
        raise UsageError(f"there is no folder {str(destination.parent)!r}; make it first")
    with _named_errors(destination):
        folder = Path(
            tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.{PARTIAL}-")
        )
    place = folder
    try:
        with _named_errors(destination):
            yield folder
            _make_durable(folder)
            os.rename(folder, destination)
            place = destination
            sync_folder(destination.parent)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _make_durable(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, 0o600)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        os.chmod(path, 0o700)
        sync_folder(Path(path))


@contextmanager
def _named_errors(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IndexUnwritable(
            f"{str(destination)!r} could not be written ({error.strerror or error}). Nothing of it "
            "is left; make room there, check the permissions, or name a folder elsewhere."
        ) from error
