"""The lines of a text file, with their numbers for messages."""

from collections.abc import Iterator
from pathlib import Path

from ...index.errors import UsageError

SHOWN = 80


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of every line that is not blank.

    UsageError where the file cannot be read, or is no UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be read: {reason}; check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}; save it as UTF-8") from error


def bad_line(path: Path, number: int, line: str, expected: str) -> UsageError:
    """The error of a line that is not what was `expected`."""
    return UsageError(f"{path}, line {number}: {line[:SHOWN]!r} is not {expected}")
