"""The `clsearch` command as the shell starts it.

A search is answered by a process in the background, if one listens for its index; else, and where
that process fails in any way, by this one, which then starts one for the next search. What is
printed is the same either way. Nothing is imported before it is known who answers.
"""

import os
import sys

from . import runtime

VARIABLE = "CLSEARCH_DAEMON"
INDEX_NAME, INDEX_VARIABLE = ".clsearch", "CLSEARCH_INDEX"
ACKNOWLEDGED = 1.0  # seconds; a process that is alive says at once that it has the question
ANSWERED = 10.0  # seconds
FAILED, INTERRUPTED = 2, 130
# Options whose commands need this process: its standard input, a model of its own, its help.
OWN = ("--rerank", "--queries", "--help", "-h")


def main() -> None:
    """Answer through the background, or run the command here."""
    named = named_index(sys.argv[1:])
    index = None if named is None else named or os.environ.get(INDEX_VARIABLE) or nearest_index()
    if index is None:
        from .cli import main as run

        run()
        return
    code = ask(index, [named or "", *sys.argv[2:]])
    if code is not None:
        os._exit(code)  # all is written; Python has nothing to put in order
    environment = dict(os.environ)  # as it was: a command sets variables for what it imports

    def start_if_answered(code: int) -> None:
        if code in (0, 1) and not environment.get("CI"):
            start(os.path.abspath(index), environment)

    from .cli import main as run

    run(start_if_answered)


def named_index(arguments: list[str]) -> str | None:
    """The `--index` of a search that the background may answer, "" without; None where it may not.

    It is read as click does but for an option as the value of another: then they differ, and the
    background does not answer.
    """
    if not runtime.LINUX or arguments[:1] != ["search"] or "_CLSEARCH_COMPLETE" in os.environ:
        return None
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.encoding.lower() != "utf-8":
            return None
    named, daemon = "", os.environ.get(VARIABLE) or "auto"
    for place, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument.startswith(OWN):
            return None
        option, given, value = argument.partition("=")
        if option in ("--index", "--daemon"):
            value = value if given else "".join(arguments[place + 1 : place + 2])
            if option == "--index":
                if not value:
                    return None
                named = value
            else:
                daemon = value
    return named if daemon == "auto" else None


def nearest_index() -> str | None:
    """As `index.config.find_index`, without its imports."""
    try:
        folder = os.getcwd()
    except OSError:
        return None
    while not os.path.isdir(os.path.join(folder, INDEX_NAME)):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return os.path.join(folder, INDEX_NAME)


def ask(index: str, question: list[str]) -> int | None:
    """Print what the background says, and its exit code; None where it has not answered."""
    try:
        reply = replied(index, question)
        pieces = None if reply is None else pieces_of(reply)
        if pieces is None:
            return None
        printed, code = pieces
    except Exception:  # whatever it is, the answer is found here
        return None
    except KeyboardInterrupt:
        return interrupted()
    out = False
    try:
        for stream, text in printed:
            while text:
                text = text[os.write(stream, text) :]
                out = True
    except BrokenPipeError:  # `clsearch search … | head`
        return 1
    except OSError as error:
        if not out:
            return None  # the command says in words what is wrong with a stream
        # It would print once more what is out already.
        os.write(2, f"clsearch: {(error.strerror or str(error)).lower()}\n".encode())
        return FAILED
    except KeyboardInterrupt:
        return interrupted()
    return code


def interrupted() -> int:
    """Say what `cli` says of Ctrl-C, and its exit code."""
    os.write(2, b"\nclsearch: stopped; what was committed stays\n")
    return INTERRUPTED


def replied(index: str, question: list[str]) -> bytes | None:
    """The whole reply of the background; None where it says that it cannot answer."""
    folder = runtime.open_folder()
    name = runtime.name_of(runtime.inode(index), "sock")
    try:
        connection = runtime.connect(folder, name, ACKNOWLEDGED)
        screen = [str(int(colours())), str(columns())]
        fields = [*map(os.fsencode, screen), *runtime.IDENTITY, *map(os.fsencode, question)]
        connection.sendall(b"\0".join([*fields, runtime.END]))
        connection.shutdown(1)
        try:
            if connection.recv(1) != b"+":
                return None
        except TimeoutError:
            # It hangs. Without its socket it keeps no other search waiting, and ends if it wakes.
            os.unlink(name, dir_fd=folder)
            return None
        connection.settimeout(ANSWERED)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(folder)


def pieces_of(reply: bytes) -> tuple[list[tuple[int, bytes]], int] | None:
    """What to print where, in order, and the exit code; None of a reply that was cut off.

    >>> pieces_of(b"2" + (2).to_bytes(4, "big") + b"hm" + b"1" + (3).to_bytes(4, "big") + b"yes00")
    ([(2, b'hm'), (1, b'yes')], 0)
    """
    printed, place = [], 0
    while reply[place : place + 1] in (b"1", b"2"):
        end = place + 5 + int.from_bytes(reply[place + 1 : place + 5], "big")
        printed.append((reply[place] - ord("0"), reply[place + 5 : end]))
        place = end
    codes = {b"00": 0, b"01": 1}
    return (printed, codes[reply[place:]]) if reply[place:] in codes else None


def colours() -> bool:
    """As `terminal.colours`."""
    variables = os.environ
    return os.isatty(1) and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"


def columns() -> int:
    """As `shutil.get_terminal_size`."""
    try:
        said = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        said = 0
    if said > 0:
        return said
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def start(index: str, environment: dict[str, str]) -> None:
    """Start a process that listens for this index, unless one does, or nothing can."""
    try:
        runtime.make_folder()
        folder = runtime.open_folder()
        lock = runtime.take_lock(folder, runtime.inode(index))
        if lock is None:
            return
        # -P: what lies in the working folder is not ours to import.
        nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        os.set_inheritable(lock, True)
        command = [sys.executable, "-P", "-m", f"{__package__}.background", index, str(lock)]
        os.posix_spawn(command[0], command, environment, file_actions=nowhere)
    except OSError:
        return
