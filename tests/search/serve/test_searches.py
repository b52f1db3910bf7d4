"""Processes that help a server to answer: real ones, beside a searcher in this process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from clsearch import Searcher
from clsearch.index import memory
from clsearch.index.errors import DocumentMissing, UsageError
from clsearch.index.index import Index
from clsearch.search.serve import searches
from clsearch.search.serve.app import create_app
from clsearch.search.serve.backend import Backend
from clsearch.search.serve.indexes import Indexes
from clsearch.search.serve.metrics import Metrics
from clsearch.search.serve.searches import Found, Processes, Question, Search, Similar
from clsearch.search.serve.settings import Settings

SECONDS = 60
STONES = {
    "jade": "Jade is green.",
    "iron": "Iron rusts in the rain.",
    "salt": "Salt is white, and dissolves.",
}
GREEN = Search(["a green stone", "metal"], 2, "hybrid", None, 0.0, "passage")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searched") / "stones.clsearch"
    with Index.open(path) as index:
        index.add([{"id": id, "text": text} for id, text in STONES.items()])
    return path


BATCHES: list[int] = []


@pytest.fixture(scope="module")
def processes(path: Path) -> Iterator[Processes]:
    """One, that is started by the first question. It notes its batches in BATCHES."""
    made = Processes([path], 1, BATCHES.append)
    yield made
    made.close()
    assert not children(made)


def children(processes: Processes) -> list[int]:
    """Those that live."""
    return [
        process._process.pid
        for process in processes._all
        if process._process.pid is not None and process._process.exitcode is None
    ]


def asked(processes: Processes, question: Question) -> Found:
    """The answer of the first that is free, for which this waits."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = processes.answer("stones", question)
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("none came up")


def without_time(found: Found) -> Found:
    return Found(found.hits)


def test_the_first_question_starts_one_and_no_more_than_there_may_be(
    processes: Processes,
) -> None:
    assert not children(processes)
    for _ in range(3):
        assert processes.answer("stones", GREEN) is None
    expected = without_time(asked(processes, GREEN))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: processes.answer("stones", GREEN), range(40)))
    answered = [without_time(one) for one in found if one is not None]
    assert answered
    assert answered == [expected] * len(answered)
    assert len(children(processes)) == 1


def test_they_find_what_this_process_finds(path: Path, processes: Processes) -> None:
    with Searcher.open(path) as searcher:
        for question in (GREEN, Similar("jade", 2, None)):
            found = asked(processes, question)
            assert without_time(found) == without_time(question.of(searcher))
        BATCHES.clear()
        assert set(asked(processes, GREEN).times_ms) == set(GREEN.of(searcher).times_ms)
    assert BATCHES == [2], "how many texts were encoded together is told"
    assert [hits[0]["document"] for hits in asked(processes, GREEN).hits] == ["jade", "iron"]


def test_errors_are_those_of_the_question(processes: Processes) -> None:
    asked(processes, GREEN)
    wrong = Search(["stone"], 2, "hybrid", "colour ~ 'green'", 0.0, "passage")
    with pytest.raises(UsageError, match="cannot be read at character 8"):
        processes.answer("stones", wrong)
    with pytest.raises(DocumentMissing, match="no document 'gold'"):
        processes.answer("stones", Similar("gold", 1, None))
    assert asked(processes, GREEN).hits, "it goes on"


def test_a_new_commit_is_seen(path: Path, processes: Processes) -> None:
    copper = Search(["copper wire"], 1, "hybrid", None, 0.0, "passage")
    assert asked(processes, copper).hits[0][0]["document"] != "copper"
    with Index.open(path) as index:
        index.add([{"id": "copper", "text": "Copper makes good wire."}])
        assert asked(processes, copper).hits[0][0]["document"] == "copper"
        index.remove(["copper"])
    assert asked(processes, copper).hits[0][0]["document"] != "copper"


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_one_that_was_killed_is_replaced(processes: Processes) -> None:
    asked(processes, GREEN)
    [first] = children(processes)
    os.kill(first, signal.SIGKILL)
    assert processes.answer("stones", GREEN) is None, "to be answered by the server itself"
    assert asked(processes, GREEN).hits
    [second] = children(processes)
    assert second != first


def ended_at_once(paths: list[Path], connection: object) -> None:
    os._exit(3)


def no_process(*_: object, **__: object) -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")


@pytest.mark.parametrize("how", ["it ends", "the system has none"])
def test_what_does_not_come_up_is_not_tried_again(
    how: str, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After those that did, which go on: another is started where one of them is killed."""
    processes = Processes([path], 3)
    try:
        asked(processes, GREEN)
        with monkeypatch.context() as patched:
            if how == "it ends":
                patched.setattr(searches, "_search", ended_at_once)
            else:
                patched.setattr("multiprocessing.context.SpawnProcess.start", no_process)
            for _ in range(3):
                taken = processes._free.pop()  # as by a question that takes long
                assert processes.answer("stones", GREEN) is None
                assert processes._starting is not None
                processes._starting.join(SECONDS)
                processes._free.append(taken)
        assert len(children(processes)) == len(processes._all) == 1
        assert sum("Error" in record.getMessage() for record in caplog.records) == 1
        os.kill(children(processes)[0], signal.SIGKILL)
        assert processes.answer("stones", GREEN) is None
        assert asked(processes, GREEN).hits
    finally:
        processes.close()


@pytest.mark.parametrize("begun", [False, True])
def test_one_that_is_still_starting_is_ended(begun: bool, path: Path) -> None:
    processes = Processes([path], 1)
    assert processes.answer("stones", GREEN) is None
    while begun and not children(processes):
        time.sleep(0.001)
    began = time.monotonic()
    processes.close()
    assert time.monotonic() - began < SECONDS
    assert not children(processes)
    assert not any(thread.name == "clsearch-start" for thread in threading.enumerate())


def test_none_is_started_where_memory_is_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes([path], 1)
    own = 1_000
    monkeypatch.setattr(searches.memory, "available", lambda: 4_000)
    monkeypatch.setattr(searches.memory, "anonymous", lambda: own)
    assert processes.answer("stones", GREEN) is None
    assert processes._starting is None
    own = 999
    assert asked(processes, GREEN).hits
    processes.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_read() -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    assert 0 < memory.anonymous() < memory.available() <= pages << 10


def test_a_program_that_forgets_them_ends_and_its_log_has_what_nobody_expected(path: Path) -> None:
    """Python waits at its end for what it has started. The log says where it was raised."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from clsearch.search.serve.searches import Processes, Search\n"
        "processes = Processes([Path(sys.argv[1])], 1)\n"
        "wrong = Search(['stone'], 'many', 'hybrid', None, 0.0, 'passage')\n"
        "try:\n"
        "    while processes.answer('stones', wrong) is None:\n"
        "        time.sleep(0.02)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stdout) == (0, "TypeError\n")
    assert "searcher.py" in done.stderr


class Elsewhere(Processes):
    """Answers all that it is asked, and notes it."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def answer(self, index: str, question: Question) -> Found | None:
        self.asked.append(question)
        return None if index == "busy" else FOUND

    def close(self) -> None:
        pass


FOUND = Found([[{"document": "by another process"}]])


def test_only_a_question_beside_another_goes_elsewhere() -> None:
    """Not where it is to be reranked; where none is free, it is answered here."""
    elsewhere = Elsewhere()
    metrics = Metrics()
    settings = Settings(rerank="any")
    backend = Backend(settings, Indexes([]), metrics, lambda _: None, elsewhere)
    asked: list[str] = []

    class Here:
        name = "stones"

        def read(self, work: object) -> Found:
            asked.append(self.name)
            if len(asked) == 1:  # while this is answered
                assert backend.answer(self, GREEN) is FOUND
                self.name = "busy"
                assert backend.answer(self, GREEN) is HERE
                assert backend.answer(self, GREEN, rerank=True) is HERE
            return HERE

    HERE = Found([])
    assert backend.answer(Here(), GREEN) is HERE
    assert asked == ["stones", "busy", "busy"]
    assert elsewhere.asked == [GREEN, GREEN]
    assert backend.answer(Here(), GREEN) is HERE, "nobody else asks any more"
    assert elsewhere.asked == [GREEN, GREEN]
    backend.close()


def test_an_encoder_of_your_own_is_in_this_process_alone(path: Path) -> None:
    with pytest.raises(UsageError, match="2 processes cannot share an encoder"):
        create_app([path], Settings(processes=2), load=lambda model, pooling: None)  # type: ignore[arg-type, return-value]


def helpers(process: int) -> set[int]:
    """Those that a server has started to search: Python has one more beside them."""
    children = Path("/proc").glob(f"{process}/task/*/children")
    found = {int(child) for file in children for child in file.read_text().split()}
    return {one for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()}


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_server_under_load_starts_them_and_leaves_none(
    path: Path, number: signal.Signals
) -> None:
    """Every answer is the same, and no process outlives the server, however it ends."""
    argv = [sys.executable, "-m", "clsearch", "serve", "--index", str(path), "--port", "0"]
    server = subprocess.Popen(
        [*argv, "--json", "--processes", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]

        def ask(_: int) -> list[str]:
            answer = httpx.post(f"{url}/v1/search", json={"query": "green stone"}, timeout=SECONDS)
            return [hit["document"] for hit in answer.raise_for_status().json()["hits"]]

        expected = ask(0)
        assert expected[0] == "jade"
        started: set[int] = set()
        end = time.monotonic() + SECONDS
        with ThreadPoolExecutor(8) as clients:
            while len(started) < 2 and time.monotonic() < end:
                assert list(clients.map(ask, range(40))) == [expected] * 40
                started |= helpers(server.pid)
        assert len(started) == 2
        if number == signal.SIGKILL:
            server.kill()
        else:  # as a terminal does, and systemd: to all of them
            os.killpg(server.pid, number)
        out, err = server.communicate(timeout=SECONDS)
        assert (out, err) == ("", "")
        assert server.returncode == (-number if number == signal.SIGKILL else 0)
        while any(map(runs, started)):
            assert time.monotonic() < end + SECONDS
            time.sleep(0.05)
    finally:
        server.kill()
        server.communicate()
