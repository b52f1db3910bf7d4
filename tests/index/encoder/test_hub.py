"""Names of models: the embedded one, folders, the cache of the hub; never the network."""

import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from clsearch.index.encoder import Encoder, hub
from clsearch.index.encoder.hub import find_model
from clsearch.index.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no way to the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def put(cache: Path, model: Path, revision: str) -> Path:
    """Lay a model into the cache as huggingface_hub does."""
    repository = cache / "models--some--model"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / revision).write_text(COMMIT)
    (repository / "snapshots").mkdir(exist_ok=True)
    if not (repository / "snapshots" / COMMIT).exists():
        (repository / "snapshots" / COMMIT).symlink_to(model)
    return repository / "snapshots" / COMMIT


@pytest.mark.parametrize("name", ["some/model", "some/model@main", f"some/model@{COMMIT}"])
def test_a_cached_model_needs_no_network(
    name: str, cache: Path, plain_models: Callable[[str], Path]
) -> None:
    put(cache, plain_models("bert"), "main")
    encoder = Encoder.load(name)
    assert encoder.declaration["model"] == name
    assert encoder.declaration["revision"] == COMMIT
    local = Encoder.load(str(plain_models("bert")))
    assert local.declaration["revision"] is None
    assert encoder.fingerprint != local.fingerprint
    assert (encoder.encode_queries(["router"]) == local.encode_queries(["router"])).all()


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"])
@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT])
def test_a_whole_model_is_found_as_the_library_finds_it(
    variable: str,
    revision: str | None,
    tmp_path: Path,
    plain_models: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But for the time of its import; a model without modules.json is left to it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "hub"
    monkeypatch.setenv(variable, str(tmp_path if variable == "HF_HOME" else cache))
    snapshot = cache / "models--some--model" / "snapshots" / COMMIT
    shutil.copytree(plain_models("bert"), snapshot)
    (cache / "models--some--model" / "refs").mkdir()
    for ref in ("main", "v1.0"):
        (cache / "models--some--model" / "refs" / ref).write_text(COMMIT)
    assert hub._from_cache("some/model", revision) is None
    (snapshot / "modules.json").write_text("[]")
    theirs = huggingface_hub.snapshot_download(
        "some/model", revision=revision, cache_dir=cache, local_files_only=True
    )
    name = "some/model" + (f"@{revision}" if revision else "")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert find_model(name) == hub.Source(Path(theirs), COMMIT)
    assert hub._from_cache("some/model", "v2") is None
    assert hub._from_cache("other/model", None) is None


@pytest.mark.parametrize("name", ["some/model", "other-model", "some/model@v2"])
def test_offline_and_not_cached(name: str, cache: Path) -> None:
    with pytest.raises(ModelError, match="cannot be fetched from the hub") as error:
        Encoder.load(name)
    assert str(error.value).startswith(name)
    assert "give its path" in str(error.value)


@pytest.mark.parametrize("name", ["./none", "/no/such/folder", "~/none", "a/b/c", "", "a b", "x@"])
def test_no_such_folder(name: str, cache: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        find_model(name)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is a file: give the folder"):
        find_model(str(tmp_path / "model.safetensors"))


def test_a_cache_without_modules_is_completed(
    cache: Path, plain_models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers fetches weights and leaves the declaration: [CLS] would be taken for mean."""
    snapshot = put(cache, plain_models("bert"), "main")
    whole = cache / "whole"
    whole.mkdir()
    asked: list[bool] = []

    def download(repository: str, *, local_files_only: bool, **options: object) -> str:
        asked.append(local_files_only)
        return str(snapshot if local_files_only else whole)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_model("some/model").folder == whole
    (whole / "config.json").write_text("{}")
    (whole / "model.safetensors").write_bytes(b"")
    (whole / "modules.json").write_text("[]")
    snapshot = whole
    asked.clear()
    assert find_model("some/model").folder == whole
    assert asked == [True]


def test_only_safe_files_are_asked_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def download(repository: str, **options: object) -> str:
        asked.append(options)
        raise huggingface_hub.errors.LocalEntryNotFoundError("no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError):
        find_model("some/model@v1")
    assert [options["local_files_only"] for options in asked] == [True, False]
    for options in asked:
        assert options["revision"] == "v1"
        assert options["allow_patterns"] == ["*.safetensors", "*.json", "*.txt", "*.model"]
