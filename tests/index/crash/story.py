"""A short life of an index, told in acts, with what must be found after each.

The acts are small folders of files to sync, a removal, a merge. Each document's text holds one word
that no other version of it holds, so that what is found says which version it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clsearch.index import Index
from words_encoder import WordsEncoder

Versions = Mapping[str, int]  # file name -> version


@dataclass(frozen=True)
class Act:
    """What happens, and which version of each document is there afterwards."""

    name: str
    play: Callable[[Index, Path], None]
    files: Versions
    found: Versions


def encoder() -> WordsEncoder:
    """Of so little room that each document is two passages."""
    made = WordsEncoder()
    made.room = 24
    return made


def word(name: str, version: int) -> str:
    """The word that only this version of this document holds: `a.txt`, 2 -> `azzv2`."""
    return f"{name.removesuffix('.txt')}zzv{version}"


def write_files(folder: Path, versions: Versions) -> None:
    """Make the folder hold exactly these versions."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in versions:
            path.unlink()
    for name, version in versions.items():
        paragraphs = (f"{word(name, version)} part {part} of {name}. " * 3 for part in range(2))
        (folder / name).write_text("\n\n".join(paragraphs))


def _sync(index: Index, folder: Path) -> None:
    index.sync([folder])


def _remove(index: Index, folder: Path) -> None:
    index.remove([str(folder / "b.txt"), "docs/b.txt"])


def _merge(index: Index, folder: Path) -> None:
    # The longest way: a structure is trained, built, opened again and tuned before it counts. The
    # second time there is a flat tail beside the compact segment, too large to be left there.
    index.optimize(kind="compact")


FIRST = {"a.txt": 1, "b.txt": 1, "c.txt": 1, "d.txt": 1}
SECOND = {"a.txt": 2, "b.txt": 1, "d.txt": 2, "e.txt": 1}
THIRD = {"a.txt": 2, "d.txt": 2, "e.txt": 1}
FOURTH = {"a.txt": 3, "d.txt": 2, "e.txt": 1, "f.txt": 1}
ACTS = (
    Act("index", _sync, FIRST, FIRST),
    Act("update", _sync, SECOND, SECOND),
    Act("remove", _remove, THIRD, THIRD),
    Act("merge", _merge, THIRD, THIRD),
    Act("again", _sync, FOURTH, FOURTH),
    Act("merge again", _merge, FOURTH, FOURTH),
)

# What `fail_at` of failing_calls.c takes as `how`; 0 would leave it inert.
KILL, EIO, ENOSPC, TORN, COUNT = 1, 2, 3, 4, 9
