"""From a model's name to its folder: the embedded one, a folder, or a download from the hub."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..config import EMBEDDED_MODEL
from ..errors import ModelError

# Weights, configuration and vocabularies; never a pickle, never code.
_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*"]
_HUB_NAME = re.compile(r"(?P<repository>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Source:
    """A model on this machine. `revision` is the resolved commit of one from the hub, else None."""

    folder: Path
    revision: str | None = None


def find_model(name: str, without: str = "Without a name the embedded model is used") -> Source:
    """`embedded`, a folder, or a hub name with an optional `@revision` -> its folder.

    A model that was downloaded whole is taken from the cache, without a question to the hub.
    Raises ModelError where there is none, saying what to do; `without` is what it says of doing
    without this model.
    """
    if name == "embedded":
        if not EMBEDDED_MODEL.is_dir():
            raise ModelError(f"{EMBEDDED_MODEL} is missing: install clsearch again")
        return Source(EMBEDDED_MODEL)
    folder = Path(name).expanduser()
    # The empty name would be the working folder.
    if name and folder.is_dir():
        return Source(folder.resolve())
    if name and folder.exists():
        raise ModelError(f"{name} is a file: give the folder that holds the model")
    match = _HUB_NAME.fullmatch(name)
    if name.startswith((".", "/", "~")) or match is None:
        raise ModelError(
            f"{name!r} is not a folder, and not the name of a model on the hub: check it"
        )
    repository, revision = match["repository"], match["revision"]
    return _from_cache(repository, revision) or _from_hub(name, repository, revision, without)


def _from_cache(repository: str, revision: str | None) -> Source | None:
    """A model with its declaration, as the hub's own library keeps it; None for any other.

    The library takes as long to import as a query takes to answer.
    """
    variables = os.environ
    home = variables.get("HF_HOME") or f"{variables.get('XDG_CACHE_HOME', '~/.cache')}/huggingface"
    cache = variables.get("HF_HUB_CACHE") or variables.get("HUGGINGFACE_HUB_CACHE")
    kept = os.path.expandvars(os.path.expanduser(cache or f"{home}/hub"))
    folder = Path(kept) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / (revision or "main")).read_text("ascii").strip()
    except (OSError, ValueError):
        commit = revision or ""
    found = folder / "snapshots" / commit
    needed = ("modules.json", "config.json", "model.safetensors")
    if commit and all((found / name).is_file() for name in needed):
        return Source(found, commit)
    return None


def _from_hub(name: str, repository: str, revision: str | None, without: str) -> Source:
    # Not needed, and not imported, for a model on this machine.
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    def snapshot(local: bool) -> Source:
        folder = Path(
            huggingface_hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=_PATTERNS,
                ignore_patterns=_OTHER_RUNTIMES,
                local_files_only=local,
            )
        )
        # The cache keeps a snapshot in a folder that is named after its commit.
        return Source(folder, folder.name)

    cached = None
    try:
        found = snapshot(local=True)
        if (found.folder / "config.json").is_file() and any(found.folder.rglob("*.safetensors")):
            cached = found
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise ModelError(f"{name} is no folder and no name of a model: {error}") from error
    # Without modules.json it is a plain transformer, or one of which another program fetched only
    # what it needed: the hub knows.
    if cached is not None and (cached.folder / "modules.json").is_file():
        return cached
    try:
        return snapshot(local=False)
    # Whatever the HTTP client of the day raises: some of it is no OSError.
    except Exception as error:
        if cached is not None:
            return cached
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{name} is no folder, is not in the cache, and cannot be fetched from the hub: "
            f"{reason}\nCheck the name and the network, or copy the model's folder to this machine "
            f"and give its path. {without}"
        ) from error
