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

LOOKED_UP = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
REACHED = {"socket.connect", "socket.sendto", "socket.sendmsg"}

def watch(event, given):
    # The address of a socket on this machine is a path, no tuple.
    if event in LOOKED_UP or (event in REACHED and isinstance(given[1], tuple)):
        os.write(2, f"{SEEN}: {event} {given}\\n".encode())
        os._exit(70)

sys.addaudithook(watch)
from clsearch.cli import main
main()
"""
)
NO_KERNELS = "from clsearch.index.encoder import choice; choice.kernels = lambda: None\n"
ENOUGH = "The router drops packets while its table of addresses is full. " * 100


@pytest.mark.parametrize(
    "call",
    [
        "getaddrinfo('localhost', 80)",
        "gethostbyname('localhost')",
        "socket().connect(('127.0.0.1', 9))",
        "socket(type=SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
    ],
)
def test_watch_sees(call: str) -> None:
    """What the other test looks for is seen where it happens."""
    code = WATCHED.replace("from clsearch.cli import main\nmain()", "from socket import *\n")
    done = subprocess.run([sys.executable, "-c", code + call], capture_output=True)
    assert SEEN in done.stderr.decode()


@pytest.mark.parametrize("by", ["native", "torch"])
def test_index_and_search(tmp_path: Path, by: str) -> None:
    """Passages enough for every engine, in a home of its own, where nobody has declined anything.

    The home has no more in it afterwards than what clsearch itself keeps.
    """
    home, notes, index = tmp_path / "home", tmp_path / "notes", tmp_path / "index"
    home.mkdir()
    notes.mkdir()
    for number in range(8):
        (notes / f"{number}.txt").write_text(f"Note {number}. {ENOUGH}", "utf-8")
    without = "" if by == "native" else NO_KERNELS
    for arguments in (
        ["index", str(notes), "--index", str(index)],
        ["search", "packets", "--index", str(index)],
        ["status", "--index", str(index)],
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
    # As the last command tells: else nothing was tried.
    assert f"{by}, " in done.stdout.decode()
    assert {found.relative_to(home).parts[:2] for found in home.rglob("*") if found.is_file()} <= {
        (".cache", "clsearch")
    }
