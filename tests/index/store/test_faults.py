"""The places where a test may kill the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import clsearch
from clsearch.index.store.faults import STEPS, VARIABLE

SOURCES = Path(clsearch.__file__).parent / "index" / "store"


def run(fault: str, code: str) -> subprocess.CompletedProcess[str]:
    """Python with a fault asked for."""
    return subprocess.run(
        [sys.executable, "-c", "from clsearch.index.store.faults import reach\n" + code],
        env={**os.environ, VARIABLE: fault},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_step_is_reached_somewhere() -> None:
    """And no other name is used."""
    text = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    used = {part.partition('"')[0] for part in text.split('faults.reach("')[1:]}
    assert used == set(STEPS)


@pytest.mark.parametrize(("fault", "status"), [("commit.done", -9), ("commit.done:2", 0)])
def test_it_dies_when_the_step_is_reached_for_the_nth_time(fault: str, status: int) -> None:
    """By SIGKILL; other steps do nothing."""
    assert run(fault, "reach('commit.begun'); reach('commit.done')").returncode == status


def test_a_step_that_does_not_exist_is_an_error() -> None:
    """Else a test with a spelling error would pass."""
    assert "no such step" in run("commit.finished", "").stderr
