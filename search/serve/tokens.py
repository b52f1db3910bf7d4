"""The token that a server asks for, kept in a file that its user alone can read."""

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from ...index.config import user_config
from ...index.errors import UsageError

BYTES = 32  # of chance

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,}")


def token_path() -> Path:
    """The file: `token` in the user's folder of settings."""
    return user_config() / "token"


def kept_token(path: Path | None = None) -> str:
    """The token in the file, which is made with a new one where there is none.

    Folder and file are the user's own, and nobody else's to read: 0700 and 0600. UsageError where
    they are there and are not so, or hold no token.
    """
    path = path or token_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(path.parent, path.parent.lstat(), "0700")
    if not path.exists() and not path.is_symlink():
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    # Written beside and then linked: who finds the file finds it whole, whoever was first.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
            file.write(secrets.token_urlsafe(BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(
            f"the token's file {str(path)!r} cannot be opened ({error.strerror}): remove it, and"
            " the next start makes another"
        ) from error
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        _check_private(path, os.fstat(file.fileno()), "0600")
        token = file.read(1_000).strip()
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"the file {str(path)!r} holds no token, which has 32 or more letters, digits, - and _:"
            " remove it, and the next start makes another"
        )
    return token


def _check_private(path: Path, status: os.stat_result, mode: str) -> None:
    """UsageError where others than this user can read it, or put another in its place."""
    if stat.S_ISLNK(status.st_mode) or not (
        stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    ):
        reason = "is no plain file or folder"
    elif status.st_uid != os.geteuid():
        reason = "belongs to another user"
    elif stat.S_IMODE(status.st_mode) & 0o077:
        reason = "can be read by others"
    else:
        return
    raise UsageError(
        f"{str(path)!r} {reason}: a token in it is no secret. Remove it, or make it yours alone:"
        f" chmod {mode} {str(path)!r}"
    )
