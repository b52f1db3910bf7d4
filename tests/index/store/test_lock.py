"""One writer at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clsearch.index.errors import IndexLocked
from clsearch.index.store.lock import take_lock

HOLD = """
import sys
from pathlib import Path
from clsearch.index.store.lock import take_lock
take_lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    """At once, without waiting; and a killed writer leaves no lock behind."""
    code = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(IndexLocked, match=rf"process {other.pid} .*run the command again"):
            take_lock(tmp_path)
        other.kill()
        other.wait()
    os.close(take_lock(tmp_path))


def test_it_holds_within_a_process(tmp_path: Path) -> None:
    """For two indexes opened by one program, until the first is closed."""
    first = take_lock(tmp_path)
    with pytest.raises(IndexLocked, match=f"process {os.getpid()} "):
        take_lock(tmp_path)
    os.close(first)
    os.close(take_lock(tmp_path))


def test_a_lock_file_with_junk_in_it(tmp_path: Path) -> None:
    """The message does without a pid."""
    (tmp_path / "writer.lock").write_bytes(b"\xff\xfe junk that is long")
    first = take_lock(tmp_path)
    (tmp_path / "writer.lock").write_bytes(b"\xff\xfe junk that is long")
    with pytest.raises(IndexLocked, match="another process"):
        take_lock(tmp_path)
    os.close(first)
