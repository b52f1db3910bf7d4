"""The file of the token: made once, whole, private, and refused where it is not."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clsearch.index.errors import UsageError
from clsearch.search.serve import tokens
from clsearch.search.serve.tokens import kept_token, token_path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the token of a user without one is kept."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return token_path()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_made_once_and_private(path: Path, umask: int) -> None:
    path.parent.mkdir(parents=True, mode=0o700)
    before = os.umask(umask)
    try:
        token = kept_token()
    finally:
        os.umask(before)
    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="ascii") == f"{token}\n"
    assert kept_token() == token
    assert [*path.parent.iterdir()] == [path]


def test_the_folder_is_made_private(path: Path) -> None:
    before = os.umask(0)
    try:
        kept_token()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_who_starts_at_once_gets_one_token(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(kept_token, [path] * 32))) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read(path: Path, mode: int) -> None:
    kept_token()
    path.chmod(mode)
    with pytest.raises(UsageError, match="can be read or written by others"):
        kept_token()


def test_a_folder_that_others_can_read(path: Path) -> None:
    """The file is the secret: any folder of the user's will do."""
    token = kept_token()
    path.parent.chmod(0o755)
    assert kept_token() == token


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_folder_that_others_can_write_to(path: Path, mode: int) -> None:
    kept_token()
    path.parent.chmod(mode)
    with pytest.raises(UsageError, match=r"can be written to by others.*chmod go-w") as caught:
        kept_token()
    assert "emove" not in str(caught.value)


def test_a_folder_that_is_a_link(path: Path, tmp_path: Path) -> None:
    kept_token()
    link = tmp_path / "link"
    link.symlink_to(path.parent)
    with pytest.raises(UsageError, match="is a link"):
        kept_token(link / "token")


def test_a_folder_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's is as good as one's own."""
    kept_token()
    lstat = Path.lstat
    owner = 0

    def owned(one: Path) -> os.stat_result:
        found = [*lstat(one)]
        found[stat.ST_UID] = owner
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", owned)
    assert kept_token()
    owner = os.geteuid() + 1
    with pytest.raises(UsageError, match=r"folder.*another user"):
        kept_token()


def test_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_token()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="another user"):
        kept_token()


@pytest.mark.parametrize("target", ["there", "gone"])
def test_a_link_is_not_followed(path: Path, tmp_path: Path, target: str) -> None:
    other = tmp_path / "other"
    if target == "there":
        other.write_text("a" * 43, encoding="ascii")
        other.chmod(0o600)
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(other)
    with pytest.raises(UsageError, match="cannot be opened"):
        kept_token()
    assert other.exists() == (target == "there")


@pytest.mark.parametrize("text", ["", "short", "a" * 31, "a b" * 20, "\u00e9" * 40])
def test_no_token(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="holds no token"):
        kept_token()


def test_no_file_but_a_pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o700)
    os.mkfifo(path, 0o600)
    with pytest.raises(UsageError, match="no plain file"):
        kept_token()


def test_tokens_differ(tmp_path: Path) -> None:
    assert tokens.BYTES == 32
    folders = [tmp_path / name for name in "abc"]
    assert len({kept_token(folder / "token") for folder in folders}) == 3
