"""Where things are, and the options that are saved with an index."""

import os
from dataclasses import dataclass
from pathlib import Path

EMBEDDED_MODEL = Path(__file__).parent.parent / "data" / "model"
SAMPLE = Path(__file__).parent.parent / "data" / "sample"
INDEX_NAME = ".clsearch"
INDEX_VARIABLE = "CLSEARCH_INDEX"


@dataclass(frozen=True, slots=True)
class Options:
    """What an index is made with. Saved in it; an index opens with what it was made with.

    `model` is `embedded`, a folder, or a hub name with an optional `@revision`; `pooling` overrides
    what the model declares.
    """

    model: str = "embedded"
    pooling: str | None = None


def find_index(start: Path | None = None) -> Path | None:
    """The index that a command means: `$CLSEARCH_INDEX`, else the nearest `.clsearch/` at or above.

    None where there is neither.
    """
    named = os.environ.get(INDEX_VARIABLE)
    if named:
        return Path(named)
    folder = (start or Path.cwd()).absolute()
    for candidate in (folder, *folder.parents):
        if (candidate / INDEX_NAME).is_dir():
            return candidate / INDEX_NAME
    return None
