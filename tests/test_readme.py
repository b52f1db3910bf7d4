"""What README shows is what happens."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clsearch import Index
from clsearch.index.config import SAMPLE

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `clsearch demo` leaves."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(SAMPLE / "documents", folder / "documents")
    with Index.open(folder / ".clsearch") as index:
        index.sync([folder / "documents"])
    return folder


@pytest.mark.parametrize("block", blocks("console"))
def test_a_command_prints_what_is_shown(folder: Path, block: str) -> None:
    """But for decimals: scores and seconds are the machine's."""
    command, shown = block.removeprefix("$ clsearch ").split("\n", 1)
    ran = subprocess.run(
        [sys.executable, "-m", "clsearch", *shlex.split(command)],
        cwd=folder,
        env={"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert NUMBER.sub("N", ran.stdout) == NUMBER.sub("N", shown)


def test_the_library_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 5
    assert "7:1  'Hold the button for ten seconds.'" in printed[0]


def test_every_page_that_is_linked_is_there() -> None:
    pages = re.findall(r"\]\(([^)#:]+)\)", README)
    assert pages
    assert all((Path(__file__).parent.parent / page).exists() for page in pages)
