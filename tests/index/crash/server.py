"""Plays the story in child processes that can be told to fail; driven by `test_crash.py`.

Started once with the failing calls preloaded, it imports everything, then forks for each request:
a child is there in milliseconds. One JSON object a line, in and out.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import story
from clsearch.index import Index, batch
from clsearch.index.errors import ClsearchError
from clsearch.index.readers import read
from clsearch.index.store import faults

HERE = Path(__file__)
CRASHED = 4  # a traceback, where only an error of ours would do
REFUSED = 3  # an error of ours


def play(request: dict, libc: ctypes.CDLL) -> None:
    """Play the acts from `first` to `last`; the file `notes` says what began and what was done."""
    batch.DOCUMENTS = 2  # so that a sync of four files is two commits
    if step := request.get("step"):
        faults._fault = (step, request["n"])
    elif how := request.get("how"):
        libc.fail_at(request["index"].encode(), request["n"], how)
    index, folder = Path(request["index"]), Path(request["folder"])
    with open(request["notes"], "a", buffering=1) as notes:
        for number in range(request["first"], request["last"] + 1):
            act = story.ACTS[number]
            story.write_files(folder, act.files)
            notes.write(f"began {number}\n")
            with Index.open(index, encoder=story.encoder()) as opened:
                act.play(opened, folder)
                notes.write(f"done {number}\n")
    if request.get("how") == story.COUNT:
        notes_of_calls = Path(request["notes"]).with_suffix(".calls")
        notes_of_calls.write_text(str(libc.calls()))


def child(request: dict, libc: ctypes.CDLL) -> None:
    """Play, and leave with a status that tells errors of ours from others."""
    status = 0
    try:
        play(request, libc)
    except ClsearchError as error:
        status = REFUSED
        Path(request["notes"]).with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
    except BaseException:
        status = CRASHED
        Path(request["notes"]).with_suffix(".error").write_text(traceback.format_exc())
    os._exit(status)


def main() -> None:
    """Answer requests until the input ends."""
    list(read(HERE, HERE.name))  # the first file that is read imports every reader
    libc = ctypes.CDLL(None)
    libc.fail_at.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int)
    libc.calls.restype = ctypes.c_long
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(request, libc)
        if (after := request.get("seconds")) is not None:
            time.sleep(after)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
