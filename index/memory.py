"""Bytes of memory, as Linux tells them; 0 where the system does not say."""

from contextlib import suppress


def anonymous(process: int | str = "self") -> int:
    """What a process holds beside its files' pages."""
    return _told(f"/proc/{process}/status", b"RssAnon:")


def available() -> int:
    """What the system could give to a process that is started now."""
    return _told("/proc/meminfo", b"MemAvailable:")


def _told(file: str, name: bytes) -> int:
    with suppress(OSError), open(file, "rb") as lines:
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1]) << 10
    return 0
