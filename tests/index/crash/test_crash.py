"""The proof of the commit protocol: killed, torn, full or failing at any instant, nothing is lost.

After each blow: what was acknowledged is found, by words and by vector; no document is half there;
the next run needs no repair and completes the story; `check` has nothing to say.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clsearch.index import Index
from clsearch.index.check import check
from clsearch.index.errors import IndexMissing
from clsearch.index.store.faults import STEPS
from clsearch.search import Searcher
from story import ACTS, COUNT, EIO, ENOSPC, KILL, TORN, Versions, encoder, word

HERE = Path(__file__).parent
DONE, REFUSED, KILLED = 0, 3, -signal.SIGKILL
LAST = len(ACTS) - 1
Play = Callable[..., int]


@pytest.fixture(scope="session")
def failing_calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared library, compiled."""
    library = tmp_path_factory.mktemp("calls") / "failing_calls.so"
    source = HERE / "failing_calls.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def server(failing_calls: Path) -> Iterator[subprocess.Popen[str]]:
    """One process that forks the players."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(failing_calls),
        "PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent.parent))),
        # A forked child must not inherit a pool of threads.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    command = [sys.executable, str(HERE / "server.py")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


def found_after(act: int) -> Versions:
    """What is found after an act; nothing before the first."""
    return ACTS[act].found if act >= 0 else {}


class Stage:
    """One index that suffers, and what its player noted."""

    def __init__(self, folder: Path, server: subprocess.Popen[str]) -> None:
        """In a folder of its own."""
        self.index = folder / "index"
        self.files = folder / "docs"
        self.notes = folder / "notes"
        self._server = server

    def play(self, first: int = 0, last: int = LAST, **blow: int | float | str) -> int:
        """Play some acts under a blow -> the player's exit status, or minus its signal."""
        assert self._server.stdin
        assert self._server.stdout
        self.notes.write_text("")
        where = {"index": str(self.index), "folder": str(self.files), "notes": str(self.notes)}
        print(
            json.dumps({**where, "first": first, "last": last, **blow}),
            file=self._server.stdin,
            flush=True,
        )
        status: int = json.loads(self._server.stdout.readline())["status"]
        assert status in (DONE, REFUSED, KILLED), self.error()
        return status

    def error(self) -> str:
        """What the last player left as its error."""
        path = self.notes.with_suffix(".error")
        return path.read_text() if path.exists() else ""

    def calls(self) -> int:
        """How many calls the whole story makes, after a play that counts."""
        return int(self.notes.with_suffix(".calls").read_text())

    def last(self, word: str) -> int:
        """The last act that `began` or is `done` by the notes; -1 where there is none."""
        acts = [line.split() for line in self.notes.read_text().splitlines()]
        return max((int(number) for what, number in acts if what == word), default=-1)

    def found(self) -> dict[str, set[int]]:
        """File name -> the versions that a search by words and one by vector both find."""
        try:
            searcher = Searcher.open(self.index, encoder())
        except IndexMissing:
            return {}
        # Every passage holds the word "part", so each search shows all that it can find.
        by_words = searcher.search("part", k=100, mode="lexical")
        by_vector = searcher.search("part", k=100, mode="dense")
        assert {hit.passage.id for hit in by_words} == {hit.passage.id for hit in by_vector}
        parts: dict[tuple[str, int], set[str]] = {}
        for hit in by_words:
            name = Path(hit.document).name
            version, part = re.findall(rf"{word(name, 0)[:-1]}(\d) part (\d)", hit.passage.text)[0]
            parts.setdefault((name, int(version)), set()).add(part)
        versions: dict[str, set[int]] = {}
        for (name, version), found in parts.items():
            assert found == {"0", "1"}, f"version {version} of {name} is half there"
            versions.setdefault(name, set()).add(version)
        return versions

    def holds(self, old: Versions, new: Versions) -> None:
        """Each document is there as before the act that was struck, or as after it, and once."""
        found = self.found()
        for name in {*old, *new, *found}:
            allowed = [{versions[name]} if name in versions else set() for versions in (old, new)]
            assert found.get(name, set()) in allowed, f"{name}: {found.get(name)} of {allowed}"

    def survives(self) -> None:
        """Hold the promises after a blow to a first life; then the next run completes the act."""
        done = self.last("done")
        began = max(self.last("began"), done)
        self.holds(found_after(done), found_after(began))
        act = min(done + 1, LAST)
        assert self.play(first=act, last=act) == DONE, self.error()
        self.is_whole(found_after(act))

    def is_whole(self, versions: Versions) -> None:
        """Exactly these documents are there, nothing is left to recover, and nothing is damaged."""
        assert self.found() == {name: {version} for name, version in versions.items()}
        with Index.open(self.index, encoder=encoder()) as index:
            assert index.recovered == ()
        assert check(self.index) == ()


@pytest.fixture
def stage(tmp_path: Path, server: subprocess.Popen[str]) -> Stage:
    """An empty stage."""
    return Stage(tmp_path, server)


def test_the_story_without_a_blow(stage: Stage) -> None:
    for act in range(LAST + 1):
        assert stage.play(first=act, last=act) == DONE
        stage.is_whole(found_after(act))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step_of_the_protocol(
    tmp_path: Path, server, step: str, exhaustive: bool
) -> None:
    struck = 0
    for n in range(1, 40, 1 if exhaustive else 3):
        stage = Stage(tmp_path / str(n), server)
        stage.files.parent.mkdir()
        status = stage.play(step=step, n=n)
        stage.survives()
        if status == DONE:
            break
        struck += 1
    else:
        pytest.fail(f"{step} is reached more often than the story has commits")
    # No story of one life leaves strays or damage behind: these have tests of their own.
    reached = not step.startswith(("stray", "quarantine"))
    assert bool(struck) == reached


@pytest.mark.parametrize(
    ("how", "stride"),
    [(KILL, 97), (TORN, 113), (EIO, 127), (ENOSPC, 149)],
    ids=["kill", "torn", "eio", "full"],
)
def test_struck_at_any_system_call(
    tmp_path: Path, server, how: int, stride: int, exhaustive: bool
) -> None:
    stage = Stage(tmp_path, server)
    assert stage.play(how=COUNT, n=0) == DONE
    calls = stage.calls()
    assert calls > 100
    stride = 3 if exhaustive else stride
    # Another offset for each kind of blow, so that together they strike more of the calls.
    for n in range(1 + how % stride, calls + 1, stride):
        stage = Stage(tmp_path / str(n), server)
        stage.files.parent.mkdir()
        stage.play(how=how, n=n)
        stage.survives()


def test_disk_that_stays_full(tmp_path: Path, server, exhaustive: bool) -> None:
    for n in range(1, 300, 3 if exhaustive else 47):
        stage = Stage(tmp_path / str(n), server)
        stage.files.parent.mkdir()
        assert stage.play(how=ENOSPC, n=-n) == REFUSED
        assert "What was committed is safe" in stage.error()
        stage.survives()


def test_killed_at_random_moments(stage: Stage, server, exhaustive: bool) -> None:
    """One index takes all blows: what was done in one life must be there in every later one."""
    clock = random.Random(20)
    settled: Versions = {}  # what the last story ended with
    done = began = -1
    for _ in range(1000 if exhaustive else 35):
        status = stage.play(first=done + 1, seconds=clock.uniform(0.0, 0.25))
        assert status in (KILLED, DONE), stage.error()
        done, began = max(done, stage.last("done")), max(began, stage.last("began"))
        old, new = (found_after(act) if act >= 0 else settled for act in (done, began))
        stage.holds(old, new)
        if done == LAST:
            settled, done, began = found_after(LAST), -1, -1  # again, on the same index
    assert stage.play() == DONE, stage.error()
    stage.is_whole(found_after(LAST))
