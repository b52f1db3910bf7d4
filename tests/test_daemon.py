"""Searches that a process in the background answers: as the command would, or not at all."""

import errno
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

import clsearch
from clsearch import Index, Searcher, daemon, runtime, shell
from clsearch.cli import search
from clsearch.index.encoder import hub

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux says whose a socket is")

DOCUMENTS = [
    {"id": "tide.md", "title": "Tides", "text": "# Tides\n\nThe moon pulls the sea twice a day."},
    {"id": "bread.md", "title": "Bread", "text": "# Bread\n\nFlour, water, salt and a night."},
    {"id": "red\x1b[2Jé.md", "title": "☂ 雨", "text": "Rain falls on the sea, 雨が降る。 " * 30},
]
SHORT = "from clsearch.shell import main; main()"
# On a machine that is busy with other tests, a process that is alive may take its time.
MAIN = f"from clsearch import shell; shell.ACKNOWLEDGED = shell.ANSWERED = 60; {SHORT}"
# Whoever cannot run the command must have been answered.
ASK = f"import sys; sys.modules['clsearch.cli'] = None; {MAIN}"

LINES = (
    ["why does the sea rise"],
    ["why does the sea rise", "-k", "1", "--json"],
    ["--json", "--explain", "sea", "--mode", "dense"],
    ["sea", "--explain", "--mode=lexical"],
    ["sea", "--where", "path like 'b%'", "--group", "passage"],
    ["sea", "rain", "--min-score", "0.9"],
    ["'\"no such phrase\"'"],
    ['"no such phrase"', "--json"],
    ["雨", "-k", "5"],
    ["--", "-rain sea"],
    ["--daemon", "auto", "salt"],
)
NOT_ANSWERED = (
    ["sea", "-k", "0"],
    ["sea", "--nonsense"],
    ["sea", "--where", "nonsense"],
    ["sea", "--where", "--index", "other"],
    [" "],
    [],
    ["-h"],
    ["sea", "--help"],
    ["sea", "--daemon", "perhaps"],
    ["--queries", "-"],
)


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def alive(process: int) -> bool:
    """Whether it runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answering(index: Path) -> int:
    """The process that listens, once one does."""
    wait_for(lambda: runtime.listener(str(index)))
    process = runtime.listener(str(index))
    assert process is not None
    return process


def backgrounds(index: Path) -> list[int]:
    """Every process in the background that was started for an index."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"clsearch.background" in arguments and os.fsencode(index) in arguments:
            found.append(int(folder.name))
    return [process for process in found if alive(process)]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime folder, with a path longer than that of any socket, and a daemon that may start."""
    path = tmp_path_factory.mktemp("long" * 30)
    path.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(path))
        for name in ("CI", "CLSEARCH_DAEMON", "CLSEARCH_INDEX", "NO_COLOR", "COLUMNS"):
            patch.delenv(name, raising=False)
        # A command that is run in this process sets it, and then another process is asked.
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield path / "clsearch"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / ".clsearch"
    with Index.open(path) as index:
        index.add(DOCUMENTS)
    return path


def end_all(index: Path) -> None:
    for process in backgrounds(index):
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Path]:
    """An index of this test alone, and what it started is ended."""
    path = tmp_path / "folder" / ".clsearch"
    shutil.copytree(made, path)
    yield path
    end_all(path)


@pytest.fixture(scope="module")
def shared(made: Path) -> Iterator[Path]:
    """An index that stays as it is, with a process that answers for it."""
    assert asked(made, MAIN, "sea").returncode == 0
    answering(made)
    yield made
    end_all(made)


def asked(
    index: Path, code: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """`clsearch search …`, in the folder of the index."""
    return subprocess.run(
        [sys.executable, "-c", code, "search", *arguments],
        env={**os.environ, **variables},
        cwd=index.parent,
        input=b"",
        capture_output=True,
        timeout=120,
        check=False,
    )


def socket_of(folder: Path, index: Path) -> Path:
    return folder / runtime.name_of(runtime.inode(str(index)), "sock")


@pytest.fixture
def background(index: Path) -> int:
    """The process that a first search has left behind."""
    assert asked(index, MAIN, "sea").returncode == 0
    return answering(index)


def timeless(printed: bytes) -> bytes:
    """Without what a clock has measured."""
    printed = re.sub(rb'"took_ms": [0-9.]+', b"", printed)
    return re.sub(rb'"?times.ms"?: .*', b"", printed)


def test_what_is_answered_is_what_the_command_prints(shared: Path) -> None:
    codes = set()
    for line in LINES:
        ours, theirs = asked(shared, ASK, *line), asked(shared, MAIN, *line, CLSEARCH_DAEMON="off")
        assert timeless(ours.stdout) == timeless(theirs.stdout), line
        assert (ours.stderr, ours.returncode) == (theirs.stderr, theirs.returncode), line
        codes.add(ours.returncode)
    assert codes == {0, 1}


@pytest.mark.parametrize("line", NOT_ANSWERED)
def test_what_is_not_answered(made: Path, line: list[str]) -> None:
    """Neither by the client, nor by the process that it would ask."""
    named = shell.named_index(["search", *line])
    searcher = Searcher.open(made)
    assert named is None or daemon.answer(search, searcher, (False, 80), named, line) is None


def test_a_question_that_was_meant_for_another_index_is_not_answered(made: Path) -> None:
    """Where client and click do not agree on what `--index` says."""
    searcher = Searcher.open(made)
    for named, found in (("", True), ("other", False)):
        said = daemon.answer(search, searcher, (False, 80), named, ["sea", "--mode", "lexical"])
        assert bool(said) == found


def test_what_is_not_answered_the_command_says(shared: Path) -> None:
    before = runtime.listener(str(shared))
    for line in (["sea", "-k", "0"], ["sea", "--help"]):
        ours, theirs = asked(shared, MAIN, *line), asked(shared, MAIN, *line, CLSEARCH_DAEMON="off")
        assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
        assert ours.returncode == theirs.returncode
    assert runtime.listener(str(shared)) == before


def on_a_terminal(code: str, columns: int, index: Path, **variables: str) -> bytes:
    """What a search writes to a terminal so wide."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", code, "search", "sea rain"],
        env={**os.environ, "TERM": "xterm", **variables},
        cwd=index.parent,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 1 << 16):
                said += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return said


def test_colours_and_width_are_those_of_the_terminal(shared: Path) -> None:
    seen = set()
    for columns, variables in (
        (60, {}),
        (90, {}),
        (90, {"NO_COLOR": "1"}),
        (60, {"COLUMNS": "70", "TERM": "dumb"}),
    ):
        ours = on_a_terminal(ASK, columns, shared, **variables)
        assert ours == on_a_terminal(MAIN, columns, shared, CLSEARCH_DAEMON="off", **variables)
        seen.add(ours)
    assert len(seen) == 4


def test_lines_on_both_streams_keep_their_order(shared: Path) -> None:
    def both(code: str, **variables: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-c", code, "search", "quarterly tax return"],
            env={**os.environ, **variables},
            cwd=shared.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        ).stdout

    ours = both(ASK)
    assert ours.startswith(b"nothing here answers that well")
    assert ours == both(MAIN, CLSEARCH_DAEMON="off")


def test_the_client_imports_next_to_nothing(shared: Path) -> None:
    shown = "import sys, os; os._exit = lambda code: print('\\n' + ' '.join(sys.modules))"
    code = f"{shown}; sys.modules['clsearch.cli'] = None; {MAIN}"
    command = [sys.executable, "-c", code, "search", "sea"]
    done = subprocess.run(command, cwd=shared.parent, capture_output=True, text=True, check=False)
    bare = [sys.executable, "-c", "import sys; print(*sys.modules)"]
    before = subprocess.run(bare, capture_output=True, text=True, check=True).stdout.split()
    [loaded] = [line for line in done.stdout.splitlines() if "clsearch.shell" in line]
    ours = {"clsearch", "clsearch.shell", "clsearch.runtime", "clsearch.cli"}
    assert set(loaded.split()) - set(before) == {*ours, "_socket"}


def test_a_new_generation_is_seen(background: int, index: Path) -> None:
    with Index.open(index) as opened:
        opened.add([{"id": "new.md", "text": "Basalt columns by the shore."}])
    assert b"new.md" in asked(index, ASK, "basalt columns").stdout
    assert runtime.listener(str(index)) == background


def test_a_killed_process_leaves_a_socket_that_harms_nobody(
    background: int, index: Path, folder: Path
) -> None:
    os.kill(background, signal.SIGKILL)
    wait_for(lambda: not alive(background))
    assert socket_of(folder, index).exists()
    assert asked(index, MAIN, "sea").returncode == 0
    assert answering(index) != background
    assert asked(index, ASK, "sea").returncode == 0


def test_a_process_that_hangs_is_waited_for_once(
    background: int, index: Path, folder: Path
) -> None:
    os.kill(background, signal.SIGSTOP)
    assert asked(index, SHORT, "sea").returncode == 0
    assert not socket_of(folder, index).exists()
    os.kill(background, signal.SIGCONT)
    wait_for(lambda: not alive(background))


def test_it_ends_with_its_index(background: int, index: Path) -> None:
    shutil.rmtree(index)
    wait_for(lambda: not alive(background))


def test_it_ends_when_another_index_takes_the_place(
    background: int, index: Path, made: Path
) -> None:
    index.rename(index.with_name("old"))
    shutil.copytree(made, index)
    assert asked(index, ASK, "sea").returncode == 1
    wait_for(lambda: not alive(background))
    asked(index, MAIN, "sea")
    assert answering(index) != background


def test_it_ends_when_nobody_asks(index: Path) -> None:
    runtime.make_folder()
    opened = runtime.open_folder()
    lock = runtime.take_lock(opened, runtime.inode(str(index)))
    assert lock is not None
    code = "from clsearch import background; background.IDLE = 0.1; background.main()"
    command = [sys.executable, "-c", code, str(index), str(lock)]
    assert subprocess.run(command, pass_fds=[lock], timeout=120, check=False).returncode == 0
    os.close(opened)
    os.close(lock)
    assert runtime.listener(str(index)) is None


@pytest.mark.parametrize("variables", [{"HF_HOME": "/elsewhere"}, {"OPENBLAS_NUM_THREADS": "2"}])
def test_other_settings_are_not_answered_with_these(
    background: int, index: Path, variables: dict[str, str]
) -> None:
    assert asked(index, MAIN, "sea", **variables).returncode == 0
    wait_for(lambda: not alive(background))
    assert answering(index) != background
    assert asked(index, ASK, "sea", **variables).returncode == 0


def test_an_upgrade_ends_it(index: Path, tmp_path: Path) -> None:
    """A file of the program that is replaced: as pip does, or an editor."""
    source, copy = Path(clsearch.__file__).parent, tmp_path / "site" / "clsearch"
    for part in ("index", "search"):
        shutil.copytree(source / part, copy / part)
    for file in source.glob("*.py"):
        shutil.copy2(file, copy)
    (copy / "data").symlink_to(source / "data")
    variables = {**os.environ, "PYTHONPATH": str(copy.parent)}

    def code_of(code: str) -> int:
        command = [sys.executable, "-P", "-c", code, "search", "sea"]
        return subprocess.run(
            command, env=variables, cwd=index.parent, capture_output=True, check=False
        ).returncode

    assert code_of(MAIN) == 0
    before = answering(index)
    assert code_of(ASK) == 0
    (copy / "printing.py").write_text((copy / "printing.py").read_text() + "# newer\n")
    assert code_of(ASK) == 1
    wait_for(lambda: not alive(before))
    assert code_of(MAIN) == 0
    assert answering(index) != before


def test_of_many_that_start_one_stays(index: Path) -> None:
    command = [sys.executable, "-c", MAIN, "search", "sea"]
    nowhere = subprocess.DEVNULL
    asking = [
        subprocess.Popen(command, cwd=index.parent, stdout=nowhere, stderr=nowhere)
        for _ in range(4)
    ]
    assert [process.wait(120) for process in asking] == [0] * 4
    assert backgrounds(index) == [answering(index)]


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"CLSEARCH_DAEMON": "off"}, {}])
def test_none_is_started_where_none_is_wanted(index: Path, variables: dict[str, str]) -> None:
    off = [] if variables else ["--daemon", "off"]
    assert asked(index, MAIN, "sea", *off, **variables).returncode == 0
    assert asked(index, MAIN, "sea", "--index", "nowhere").returncode == 2
    assert backgrounds(index) == []


def test_it_holds_nothing_of_who_started_it(index: Path, tmp_path: Path) -> None:
    """No descriptor, no session and no folder: a script's lock is free when the script ends."""
    kept = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    command = [sys.executable, "-c", MAIN, "search", "sea"]
    done = subprocess.run(
        command, cwd=index.parent, pass_fds=[kept], capture_output=True, check=True
    )
    assert done.stdout
    process = answering(index)
    held = {os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir()}
    assert str(tmp_path / "lock") not in held
    assert os.readlink(f"/proc/{process}/fd/1") == os.devnull
    assert os.readlink(f"/proc/{process}/cwd") == "/"
    assert os.getsid(process) == process


def test_status_says_who_answers(background: int, index: Path) -> None:
    command = [sys.executable, "-m", "clsearch", "status", "--index", str(index)]
    said = subprocess.run([*command, "--json"], capture_output=True, check=True).stdout
    assert json.loads(said)["background"] == background
    os.kill(background, signal.SIGTERM)
    wait_for(lambda: runtime.listener(str(index)) is None)
    said = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"background   no process" in said


@pytest.fixture
def serve(index: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Options -> `clsearch serve` for the index, which listens over HTTP."""
    started = []

    def serve(*options: str, **variables: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", MAIN, "serve", "--index", str(index), "--port", "0"]
        process = subprocess.Popen(
            [*command, "--json", *options],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"]
        return process

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def test_a_server_answers_the_shell(
    serve: Callable[..., subprocess.Popen[bytes]], index: Path
) -> None:
    """As the command would, to the byte; no other is started, and with it ends what it answers."""
    server = serve()
    assert runtime.listener(str(index)) == server.pid
    for line in (["sea rain"], ["why does the sea rise", "--json"], ["--mode", "dense", "salt"]):
        ours, theirs = asked(index, ASK, *line), asked(index, MAIN, *line, CLSEARCH_DAEMON="off")
        assert timeless(ours.stdout) == timeless(theirs.stdout), line
        assert (ours.stderr, ours.returncode) == (theirs.stderr, theirs.returncode), line
    assert backgrounds(index) == []
    server.send_signal(signal.SIGTERM)
    assert (*server.communicate(timeout=60), server.returncode) == (b"", b"", 0)
    assert runtime.listener(str(index)) is None
    assert asked(index, MAIN, "sea").returncode == 0
    answering(index)


def test_a_server_leaves_the_shell_to_whom_it_has(
    background: int, serve: Callable[..., subprocess.Popen[bytes]], index: Path
) -> None:
    server = serve()
    assert runtime.listener(str(index)) == background
    os.kill(background, signal.SIGKILL)
    server.send_signal(signal.SIGTERM)
    assert (*server.communicate(timeout=60), server.returncode) == (b"", b"", 0)


@pytest.mark.parametrize(
    ("options", "variables"), [(["--daemon", "off"], {}), ([], {"CLSEARCH_DAEMON": "off"})]
)
def test_a_server_may_leave_the_shell_alone(
    serve: Callable[..., subprocess.Popen[bytes]],
    index: Path,
    options: list[str],
    variables: dict[str, str],
) -> None:
    serve(*options, **variables)
    assert runtime.listener(str(index)) is None


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for sockets of a user who has none yet."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "clsearch"


def test_a_folder_that_others_may_use_is_not_used(bare: Path) -> None:
    with pytest.raises(FileNotFoundError):
        runtime.open_folder()
    runtime.make_folder()
    os.close(runtime.open_folder())
    assert bare.stat().st_mode & 0o777 == 0o700
    bare.chmod(0o750)
    with pytest.raises(PermissionError):
        runtime.open_folder()
    bare.rename(bare.with_name("elsewhere"))
    bare.symlink_to("elsewhere")
    with pytest.raises(OSError, match="Not a directory"):
        runtime.open_folder()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
NOBODY = 65534


@needs_root
def test_the_folder_of_another_user_is_not_used(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.make_folder()
    os.chown(bare, NOBODY, NOBODY)
    with pytest.raises(PermissionError):
        runtime.open_folder()
    os.chown(bare.parent, NOBODY, NOBODY)
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    assert runtime.folder_path() == "/elsewhere/clsearch-0"


@needs_root
def test_the_socket_of_another_user_is_not_asked(bare: Path) -> None:
    bare.mkdir(mode=0o700)
    opened = runtime.open_folder()
    code = f"""
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind("there")
os.seteuid({NOBODY})
listening.listen()
print(flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(PermissionError):
            runtime.connect(opened, "there", 1.0)
        other.kill()
    os.close(opened)


@pytest.fixture
def listening(tmp_path: Path, encoder: object) -> Iterator[Path]:
    """One in this process, beside whatever else it does, as a server has it."""
    path = tmp_path / "words"
    with Index.open(path, encoder=encoder) as index:
        index.add(DOCUMENTS)
    made = daemon.Listener(path, Searcher.open(path, encoder), search)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield path
    made.close()
    thread.join(30)
    assert not thread.is_alive()


def question(*arguments: str) -> bytes:
    fields = [b"0", b"80", *runtime.IDENTITY, b"", *map(os.fsencode, arguments), runtime.END]
    return b"\0".join(fields)


def connected(index: Path) -> socket.socket:
    opened = runtime.open_folder()
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    made.connect(runtime.address(opened, runtime.name_of(runtime.inode(str(index)), "sock")))
    os.close(opened)
    return made


def reply_to(question: bytes, index: Path) -> bytes:
    with connected(index) as connection:
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        reply = b""
        while part := connection.recv(1 << 16):
            reply += part
        return reply


def test_it_answers_beside_other_work(listening: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed; who hangs keeps nobody waiting; a question cut off ends nothing."""
    silent = connected(listening)
    whole = question("moon", "--json")
    assert reply_to(whole[:-1], listening) == b""
    assert reply_to(b"", listening) == b""
    assert reply_to(whole.replace(b"\x0080\0", b"\0many\0", 1), listening) == b""
    found = shell.pieces_of(reply_to(whole, listening)[1:])
    assert found is not None
    [(_, printed)], code = found
    assert (json.loads(printed)["hits"][0]["document"], code) == ("tide.md", 0)
    silent.close()
    assert capfd.readouterr() == ("", "")


def test_a_second_one_is_refused(listening: Path, encoder: object) -> None:
    with pytest.raises(BlockingIOError):
        daemon.Listener(listening, Searcher.open(listening, encoder), search)


@needs_root
def test_another_user_is_not_answered(listening: Path, folder: Path) -> None:
    path = socket_of(folder, listening)
    path.chmod(0o777)
    code = f"""
import os, socket, sys
asked = socket.socket(socket.AF_UNIX)
os.chmod(".", 0o755)
os.seteuid(int(sys.argv[1]))
asked.connect({path.name!r})
os.seteuid(0)
os.chmod(".", 0o700)
try:
    asked.sendall(bytes.fromhex({question("moon").hex()!r}))
    asked.shutdown(socket.SHUT_WR)
    print(len(asked.recv(1)))
except ConnectionError:
    print(0)
"""

    def answered(user: int) -> bytes:
        command = [sys.executable, "-c", code, str(user)]
        return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout

    assert answered(NOBODY) == b"0\n"
    assert answered(0) == b"1\n"


REPLY = daemon.encoded([(2, b"weak\n"), (1, b"hits\n")], 1)


def test_a_reply_that_is_cut_off_is_none() -> None:
    assert shell.pieces_of(REPLY) == ([(2, b"weak\n"), (1, b"hits\n")], 1)
    assert [shell.pieces_of(REPLY[:end]) for end in range(len(REPLY))] == [None] * len(REPLY)


@pytest.fixture
def impostor(index: Path, folder: Path) -> Iterator[socket.socket]:
    """A socket where that of the index should be."""
    folder.mkdir(mode=0o700, exist_ok=True)
    opened = runtime.open_folder()
    with socket.socket(socket.AF_UNIX) as listening:
        name = runtime.name_of(runtime.inode(str(index)), "sock")
        listening.bind(runtime.address(opened, name))
        listening.listen()
        yield listening
    os.close(opened)


@pytest.mark.parametrize("said", [b"", b"?", b"+", b"+" + REPLY[:-3], b"+9"])
def test_a_process_that_dies_or_errs_while_it_answers(
    impostor: socket.socket, index: Path, said: bytes
) -> None:
    command = [sys.executable, "-c", MAIN, "search", "sea"]
    with subprocess.Popen(
        command, cwd=index.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asking:
        connection, _ = impostor.accept()
        connection.recv(1 << 16)
        connection.sendall(said)
        connection.close()
        out, err = asking.communicate(timeout=120)
    assert b"1. " in out
    assert (err, asking.returncode) == (b"", 0)


def test_an_interrupt_ends_the_client(impostor: socket.socket, index: Path) -> None:
    # Where tests run in the background of a shell, interrupts are ignored from the start.
    heard = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"
    command = [sys.executable, "-c", heard, "search", "sea"]
    with subprocess.Popen(
        command, cwd=index.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asking:
        connection, _ = impostor.accept()
        connection.sendall(b"+")
        asking.send_signal(signal.SIGINT)
        out, err = asking.communicate(timeout=30)
    connection.close()
    assert (out, asking.returncode) == (b"", shell.INTERRUPTED)
    assert err == b"\nclsearch: stopped; what was committed stays\n"


def test_a_reader_that_is_gone(background: int, index: Path) -> None:
    """As with `| head`: no word, and the exit code of the command itself."""

    def code(*off: str) -> int:
        reads, writes = os.pipe()
        os.close(reads)
        command = [sys.executable, "-c", MAIN, "search", "sea", *off]
        done = subprocess.run(
            command, cwd=index.parent, stdout=writes, stderr=subprocess.PIPE, check=False
        )
        os.close(writes)
        assert done.stderr == b""
        return done.returncode

    assert code() == code("--daemon", "off")


def test_a_socket_that_breaks_is_no_reader_that_is_gone(
    impostor: socket.socket, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who listened has ended before it was asked: the command answers."""
    ours, theirs = socket.socketpair()
    theirs.close()
    monkeypatch.setattr(runtime, "connect", lambda *_: ours)
    assert shell.ask(str(index), ["", "sea"]) is None


def test_what_is_out_is_not_printed_once_more(
    index: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The disk under standard output is full after a first piece."""
    pieces = b"".join(
        b"1" + len(text).to_bytes(4, "big") + text for text in (b"first\n", b"second\n")
    )
    monkeypatch.setattr(shell, "replied", lambda *_: pieces + b"00")
    write = os.write

    def full(stream: int, text: bytes) -> int:
        if text == b"second\n":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(stream, text)

    monkeypatch.setattr(shell.os, "write", full)
    assert shell.ask(str(index), ["", "sea"]) == 2
    assert capfd.readouterr() == ("first\n", "clsearch: no space left on device\n")


def test_a_socket_that_cannot_be_leaves_nothing_open(
    listening: Path, encoder: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other"
    with Index.open(path, encoder=encoder) as made:
        made.add(DOCUMENTS)
    searcher = Searcher.open(path, encoder)
    searcher.search("sea", mode="lexical")
    before = set(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "address", lambda *_: "/nowhere/at/all")
        with pytest.raises(FileNotFoundError):
            daemon.Listener(path, searcher, search)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    daemon.Listener(path, searcher, search).close()  # the lock is free


def test_every_variable_of_the_hub_is_compared() -> None:
    source = Path(hub.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'"((?:HF|HUGGINGFACE|XDG)_[A-Z_]+)"', source))
    assert "HUGGINGFACE_HUB_CACHE" in read
    assert read <= set(runtime.VARIABLES)
