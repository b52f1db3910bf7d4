"""Nothing goes out: no command looks up a host or connects to one, nor do the packages it uses."""

import subprocess
import sys
from pathlib import Path

import pytest

SEEN = "goes out"
WATCHED = (
    f"SEEN = {SEEN!r}"
    + """
import os, sys

OUTWARD = {"socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.connect"}

def watch(event, given):
    if event in OUTWARD and not isinstance(given[-1], (str, bytes)):
        os.write(2, f"{SEEN}: {event} {given}\\n".encode())
        os._exit(70)

sys.addaudithook(watch)
from clsearch.cli import main
main()
"""
)
ENOUGH = "The router drops packets while its table of addresses is full. " * 400


def test_watch_sees() -> None:
    """What the other tests look for is seen where it happens."""
    code = WATCHED.replace("from clsearch.cli import main\nmain()", "import socket\n")
    done = subprocess.run(
        [sys.executable, "-c", code + "socket.getaddrinfo('localhost', 80)"], capture_output=True
    )
    assert f"{SEEN}: socket.getaddrinfo" in done.stderr.decode()


@pytest.mark.parametrize("packages", ["all", "no openvino"])
def test_index_and_search(tmp_path: Path, packages: str) -> None:
    """Passages enough for every engine, in a home of its own, where nobody has declined anything.

    The home has no more in it afterwards than what clsearch itself keeps.
    """
    home, notes, index = tmp_path / "home", tmp_path / "notes", tmp_path / "index"
    home.mkdir()
    notes.mkdir()
    for number in range(8):
        (notes / f"{number}.txt").write_text(f"Note {number}. {ENOUGH}", "utf-8")
    without = 'import sys; sys.modules["openvino"] = None\n' if packages != "all" else ""
    for arguments in (
        ["index", str(notes), "--index", str(index)],
        ["search", "packets", "--index", str(index)],
    ):
        done = subprocess.run(
            [sys.executable, "-c", without + WATCHED, *arguments],
            capture_output=True,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin", "CLSEARCH_DAEMON": "off"},
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr.decode()
        # Of a process that it has started, too.
        assert SEEN not in done.stderr.decode()
    assert {found.relative_to(home).parts[:2] for found in home.rglob("*") if found.is_file()} <= {
        (".cache", "clsearch")
    }
