"""Folders, files, transactions."""

import os
import stat
from pathlib import Path

import pytest

from clsearch.index.config import Options
from clsearch.index.errors import IndexUnwritable, UsageError
from clsearch.index.store.settings import Settings
from clsearch.index.store.store import Store

SETTINGS = Settings(Options("m", "mean"), "f" * 64, {"model": "m", "prompts": {"query": "q: "}})


def modes(index: Path) -> dict[str, str]:
    """Permissions of all that is below the folder, and its own."""
    paths = [index, *index.rglob("*")]
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in paths}


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_permissions_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """0700 and 0600, for the journal of a transaction, too."""
    before = os.umask(umask)
    try:
        store = Store.open(tmp_path / "index")
        store.create(SETTINGS)
        with store.transaction() as database:
            database.table("settings").upsert({"key": "x", "value": "y"}, pk="key")
            found = modes(tmp_path / "index")
        store.close()
    finally:
        os.umask(before)
    assert found.pop("index") == found.pop("vectors") == "0o700"
    assert found == dict.fromkeys(["index.db", "index.db-journal", "writer.lock"], "0o600")


def test_an_open_index_becomes_private_again(tmp_path: Path) -> None:
    """As a copy made with another umask may be."""
    Store.open(tmp_path / "index").close()
    (tmp_path / "index").chmod(0o755)
    (tmp_path / "index" / "index.db").chmod(0o644)
    Store.open(tmp_path / "index").close()
    assert set(modes(tmp_path / "index").values()) == {"0o700", "0o600"}


def test_settings_come_back(tmp_path: Path) -> None:
    """Also from a database that is opened again."""
    store = Store.open(tmp_path)
    assert store.is_new
    store.create(SETTINGS)
    store.close()
    store = Store.open(tmp_path)
    assert not store.is_new
    assert store.settings == SETTINGS
    store.close()


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """sqlite-utils' own transactions inside it do not end it; each one counts a generation."""
    store = Store.open(tmp_path)
    store.create(SETTINGS)

    def stop_halfway() -> None:
        with store.transaction() as database:
            database.table("settings").insert_all([{"key": "x", "value": "y"}])
            database.execute("DELETE FROM settings WHERE key = 'options'")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_halfway()
    assert store.settings == SETTINGS
    with store.transaction() as database:
        database.table("settings").insert_all([{"key": "x", "value": "y"}])
    assert store.settings.generation == 1
    store.close()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Nothing is made in it, and it keeps its permissions."""
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"no index.*letter\.txt"):
        Store.open(tmp_path)
    assert modes(tmp_path) == {tmp_path.name: "0o755", "letter.txt": modes(tmp_path)["letter.txt"]}


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    """Or is below one."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(IndexUnwritable, match="is a file"):
            Store.open(path)
