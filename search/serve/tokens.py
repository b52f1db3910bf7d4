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

    The file is the user's own, and nobody else's to read: 0600; the folder is nobody else's to
    write to, and made 0700. UsageError where they are there and are not so, or hold no token.
    """
    path = path or token_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path.parent)
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
        _check_file(path, os.fstat(file.fileno()))
        token = file.read(1_000).strip()
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"the file {str(path)!r} holds no token, which has 32 or more letters, digits, - and _:"
            " remove it, and the next start makes another"
        )
    return token


def _check_folder(path: Path) -> None:
    """UsageError where others than this user and root can put a token into the folder."""
    status = path.lstat()
    step = "name a file in a folder of your own"
    if not stat.S_ISDIR(status.st_mode):
        reason = "is a link or no folder"
    elif status.st_uid not in (0, os.geteuid()):
        reason = "belongs to another user"
    elif status.st_mode & 0o022:
        reason = "can be written to by others"
        step += f", or, where it is yours, chmod go-w {str(path)!r}"
    else:
        return
    raise UsageError(
        f"the token's folder {str(path)!r} {reason}, and others could put a token of theirs there:"
        f" {step}"
    )


def _check_file(path: Path, status: os.stat_result) -> None:
    """UsageError where others than this user can read it or write to it."""
    if not stat.S_ISREG(status.st_mode):
        reason = "is no plain file"
    elif status.st_uid != os.geteuid():
        reason = "belongs to another user"
    elif status.st_mode & 0o077:
        reason = "can be read or written by others"
    else:
        return
    raise UsageError(
        f"{str(path)!r} {reason}: a token in it is no secret. Remove it, and the next start makes"
        f" another, or make it yours alone: chmod 0600 {str(path)!r}"
    )
