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


@dataclass(frozen=True, slots=True)
class Calibration:
    """How near the best passage comes to a text that nothing in the index answers.

    Mean and standard deviation over `calibration.PROBES` of the best cosine, and of the best
    coverage (BM25 as a share of what all terms of the question give). `passages`: how many there
    were; `last`: the greatest id among them. The defaults are for an index that was not measured:
    what collections of 1,000 to 10,000 passages have with the embedded model.
    """

    cosine: float = 0.26
    cosine_deviation: float = 0.04
    coverage: float = 0.27
    coverage_deviation: float = 0.09
    passages: int = 0
    last: int = 0


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/clsearch`, else `~/.cache/clsearch`."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def user_config() -> Path:
    """`$XDG_CONFIG_HOME/clsearch`, else `~/.config/clsearch`."""
    return _user_folder("XDG_CONFIG_HOME", ".config")


def _user_folder(variable: str, usual: str) -> Path:
    named = os.environ.get(variable, "")
    # A relative path is to be ignored: XDG Base Directory Specification.
    base = Path(named) if os.path.isabs(named) else Path.home() / usual
    return base / "clsearch"


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
