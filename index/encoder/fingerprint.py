"""A hash over everything that changes an encoder's output.

Weights are hashed once for each change of their file: the digest is kept in the user's cache folder
with what the system says of the file, and is trusted while that is the same, as git trusts its
index. A query would else read all of a model of which it needs half.

$XDG_CACHE_HOME/clsearch/digests/HASH: of the file's path; holds {"stamp": […], "sha256": "…"}
"""

import hashlib
import json
import mmap
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..config import user_cache
from ..errors import ModelError
from ..types import Json
from .declaration import Declaration
from .tokenizer import TOKENIZER_FILES

# Raise it when the same folder gives other vectors than before.
FORMAT = 1

# Smaller files are hashed sooner than looked up.
LARGE = 1_000_000  # bytes
# A file that has changed so lately may change again with the same time.
FRESH = 10.0  # seconds


def fingerprint(declaration: Declaration, revision: str | None, weights: Iterable[Path]) -> str:
    """sha256, as hexadecimal digits, of a model as it is declared and as its files are.

    Device and backend are no part of it: they change a vector by rounding only.
    """
    folder = declaration.folder
    steps = [file for step in declaration.steps for file in step.weights]
    parts = {
        "format": FORMAT,
        "revision": revision,
        "declaration": declaration.describe(),
        "config": _digest(folder / "config.json"),
        "weights": [_digest(file) for file in weights],
        "steps": [_digest(file) for file in steps],
        "tokenizer": {
            name: _digest(folder / name) for name in TOKENIZER_FILES if (folder / name).is_file()
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            stamp = _stamp(file.fileno())
            if stamp[0] < LARGE:
                return hashlib.sha256(file.read()).hexdigest()
            known = _place(path)
            kept = _kept(known)
            if kept.get("stamp") == stamp and isinstance(kept.get("sha256"), str):
                return str(kept["sha256"])
            # One call for the whole file: other threads run meanwhile.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                digest = hashlib.sha256(content).hexdigest()
            settled = time.time() - FRESH > max(stamp[1:3]) / 1e9
            if settled and _stamp(file.fileno()) == stamp:
                _keep(known, {"stamp": stamp, "sha256": digest})
            return digest
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _stamp(descriptor: int) -> list[int]:
    """What changes when a file does: size, times in nanoseconds, inode and device.

    The time of the inode's last change (ctime) is the system's own; no program sets it back.
    """
    of = os.fstat(descriptor)
    return [of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino, of.st_dev]


def _place(path: Path) -> Path:
    try:
        folder = user_cache() / "digests"
    except RuntimeError:  # a user without a home
        return Path(os.devnull) / "digests"  # nothing is there, nothing can be
    return folder / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()


def _kept(known: Path) -> dict[str, Json]:
    try:
        read = json.loads(known.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _keep(known: Path, what: dict[str, object]) -> None:
    """Write it whole or not at all; where the cache folder cannot be written, do without."""
    with suppress(OSError):
        known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = known.with_suffix(f".{os.getpid()}.tmp")
        written.write_text(json.dumps(what), encoding="utf-8")
        written.replace(known)
