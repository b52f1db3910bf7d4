"""A hash over everything that changes an encoder's output."""

import hashlib
import json
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import ModelError
from .declaration import Declaration
from .tokenizer import TOKENIZER_FILES

# Raise it when the same folder gives other vectors than before.
FORMAT = 1


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
            if not os.fstat(file.fileno()).st_size:
                return hashlib.sha256().hexdigest()
            # One call for the whole file: other threads run meanwhile.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
