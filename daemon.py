"""What answers searches for other processes of the same user, over the socket of an index.

One search is answered at a time, by the same command that would print it, with a Searcher that
stays open. What is read from a client and what is sent to it waits in a thread of its own, so a
client that hangs keeps no other waiting. The command is given a screen and no standard stream: it
may be run in any process, beside other work.

Only what was found or not found is answered. Of all else (wrong use, a failure, a question for
another program, an index that is no longer there) the connection ends without an answer, and the
client runs the command itself. What is known to be outdated stops listening.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

import click

from . import runtime
from .search.searcher import Searcher
from .terminal import Screen, Stream, printing_on

CLIENTS = 32  # that are listened to at a time; more are sent away
LONGEST = 1 << 20  # bytes of a question
PATIENCE = 10.0  # seconds for a client to ask, and to read
TICK = 1.0  # seconds between two looks at whether all is as it was

Answer = tuple[list[tuple[int, bytes]], int]


class Listener:
    """The socket of an index: bound, locked, and answered while `run` runs."""

    def __init__(
        self, index: Path, searcher: Searcher, command: click.Command, lock: int | None = None
    ) -> None:
        """`command` is `clsearch search`; `lock` is that of the index, where it is held already.

        OSError where the user has no private folder, or another process listens.
        """
        if not runtime.LINUX:
            raise OSError("only Linux says whose process is at the other end of a socket")
        self.used = time.monotonic()
        self._searcher, self._command = searcher, command
        self._index, self._inode = str(index), runtime.inode(str(index))
        self._code = code_of({})
        self._worker = ThreadPoolExecutor(1, "clsearch-search")
        self._clients = threading.Semaphore(CLIENTS)
        runtime.make_folder()
        self._folder = runtime.open_folder()
        taken = runtime.take_lock(self._folder, self._inode) if lock is None else lock
        if taken is None:
            os.close(self._folder)
            raise BlockingIOError(f"another process answers for {self._index!r}")
        self._lock = taken
        self._name = runtime.name_of(self._inode, "sock")
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            with suppress(FileNotFoundError):  # left by a process that was killed: it has no lock
                os.unlink(self._name, dir_fd=self._folder)
            self._socket.bind(runtime.address(self._folder, self._name))
            self._bound = self._inode_of_socket()
            self._socket.listen(CLIENTS)
        except OSError:
            self._socket.close()
            os.close(self._lock)
            os.close(self._folder)
            raise
        self._closing = threading.Lock()
        self._closed = False

    def run(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Answer until the index, the program or the socket is no longer what it was.

        `wanted` is asked each second.
        """
        self._socket.settimeout(TICK)
        while wanted() and self._as_it_was():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:  # closed by `close`
                break
            if self._clients.acquire(blocking=False):
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()
            else:
                connection.close()
        self.close()

    def close(self) -> None:
        """Listen no more; another may."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with suppress(OSError):
            if self._inode_of_socket() == self._bound:
                os.unlink(self._name, dir_fd=self._folder)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._socket.close()
        os.close(self._lock)
        os.close(self._folder)

    def _inode_of_socket(self) -> int:
        return os.stat(self._name, dir_fd=self._folder, follow_symlinks=False).st_ino

    def _as_it_was(self) -> bool:
        try:
            same = runtime.inode(self._index) == self._inode
            return same and self._inode_of_socket() == self._bound
        except OSError:
            return False

    def _converse(self, connection: socket.socket) -> None:
        """Hear a client out, and answer; it may take its time, and go when it likes."""
        try:
            with suppress(OSError), connection:
                connection.settimeout(PATIENCE)
                if runtime.peer(connection)[1] == os.geteuid():
                    self._hear(connection)
        finally:
            self._clients.release()

    def _hear(self, connection: socket.socket) -> None:
        question, part = b"", b"."
        while part and len(question) <= LONGEST:
            part = connection.recv(1 << 16)
            question += part
        *fields, end = question.split(b"\0")
        if part or end != runtime.END:  # too long; or only a look at who listens, or cut off
            return
        common = len(runtime.IDENTITY)
        if fields[2 : 2 + common] != runtime.IDENTITY or not self._current():
            self.close()
            return
        colours, columns = fields[:2]
        if not columns.isdigit():
            return
        connection.sendall(b"+")
        named, *arguments = [os.fsdecode(field) for field in fields[2 + common :]]
        screen = colours == b"1", int(columns)
        self.used = time.monotonic()
        said = self._worker.submit(
            answer, self._command, self._searcher, screen, named, arguments
        ).result()
        if said is not None:
            connection.sendall(encoded(*said))

    def _current(self) -> bool:
        """Whether the index is the one that was opened, and the program the one that is installed.

        An upgrade replaces files; what this process imports next would not fit what it has.
        """
        try:
            return self._as_it_was() and code_of(self._code) == self._code
        except OSError:
            return False


def answer(
    command: click.Command,
    searcher: Searcher,
    screen: tuple[bool, int],
    named: str,
    arguments: Sequence[str],
) -> Answer | None:
    """What a search prints, in order, and its exit code; None where it is not to answer.

    `screen`: whether the client's takes colours, and its columns. `named`: its `--index`.
    """
    printed: list[tuple[int, bytes]] = []
    out, err = Stream(1, printed), Stream(2, printed)
    try:
        with printing_on(Screen(cast(TextIO, out), cast(TextIO, err), *screen)):
            code = run(command, searcher, named, arguments)
    except Exception:  # whatever it is, the client runs the command and says it in its own words
        return None
    return None if code is None else (printed, code)


def run(
    command: click.Command, searcher: Searcher, named: str, arguments: Sequence[str]
) -> int | None:
    """The exit code of a search; None where it is not one that may be answered here."""
    try:
        # No help is known here: where it is asked for, the words are an error.
        context = command.make_context(
            "clsearch search", list(arguments), help_option_names=[], obj=searcher
        )
        with context:
            given = context.params
            if given["file"] or given["rerank"] or (given["index_path"] or "") != named:
                return None
            command.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def encoded(printed: Sequence[tuple[int, bytes]], code: int) -> bytes:
    """A reply, as `shell.pieces_of` reads it."""
    parts = [b"%d%b%b" % (stream, len(text).to_bytes(4, "big"), text) for stream, text in printed]
    return b"".join([*parts, b"%02d" % code])


def code_of(known: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
    """The state of each file of the program that is loaded; OSError where one is gone.

    One that was loaded since is added to `known`: it belongs to the others, for they were unchanged
    when it was looked at last.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] == __package__:
            status = os.stat(file)
            found[file] = (status.st_ino, status.st_size, status.st_mtime_ns)
            known.setdefault(file, found[file])
    return found
