"""malloc's heaps, counted by malloc itself in a process of its own."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import ctypes, sys, threading
from clsearch.search.serve import heaps
if sys.argv[2] == "limited":
    heaps.limit()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)
def work():
    together.wait()
    libc.malloc(ctypes.c_size_t(10_000))
    together.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="malloc is not glibc's")
def test_threads_share_two(tmp_path: Path) -> None:
    """Where nobody says so, eight threads that allocate at once have more."""

    def heaps(how: str) -> int:
        file = tmp_path / how
        argv = [sys.executable, "-c", COUNT, str(file), how]
        subprocess.run(argv, check=True, env={"PATH": ""})
        return file.read_text().count("<heap nr=")

    assert heaps("limited") == 2
    assert heaps("as it is") > 2
