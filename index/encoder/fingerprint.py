"""A hash over everything that changes an encoder's output."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
