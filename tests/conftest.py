"""What tests of several parts share."""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from words_encoder import WordsEncoder

# What torch and the others make while they are imported is looked through for garbage again and
# again, and stays: a fifth of the time until the first test.
gc.disable()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--exhaustive`: blows at nearly every moment of a commit, where else a sample is struck."""
    parser.addoption("--exhaustive", action="store_true", help="strike at nearly every moment")


# Begun last, one of these would keep one worker busy while the others wait: the tests of a file
# stay together.
LONGEST = (
    "tests/index/crash/test_crash.py",
    "tests/search/serve/test_page.py",
    "tests/test_daemon.py",
    "tests/test_bad_input.py",
    "tests/test_wheel.py",
    "tests/test_nothing_sent.py",
    "tests/test_readme.py",
    "tests/index/test_backup.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first; all others as they were found."""
    first = {config.rootpath / name: place for place, name in enumerate(LONGEST)}
    assert all(path.is_file() for path in first), "LONGEST names a file that is not there"
    items.sort(key=lambda item: first.get(item.path, len(first)))


def pytest_collection_finish() -> None:
    """What is imported is no garbage from now on."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def exhaustive(request: pytest.FixtureRequest) -> bool:
    """Whether a test that strikes at moments takes nearly all of them, for many minutes."""
    return bool(request.config.getoption("--exhaustive"))


@pytest.fixture(scope="session", autouse=True)
def _no_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test but the daemon's own is answered by a process behind, and none leaves one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLSEARCH_DAEMON", "off")
        yield
    below = os.fsencode(tmp_path_factory.getbasetemp())
    until = time.monotonic() + 10  # seconds; it looks once a second whether its index is there
    while left := [one for one in _processes() if b"clsearch.background" in one and below in one]:
        assert time.monotonic() < until, left
        time.sleep(0.1)


def _processes() -> Iterator[bytes]:
    """The command line of each process, where the system tells."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


@pytest.fixture
def encoder() -> WordsEncoder:
    """A fresh fake encoder; its type makes others: `type(encoder)(dimension=16)`."""
    return WordsEncoder()
