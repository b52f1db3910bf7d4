"""What README and the pages show is what happens."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clsearch import Index
from clsearch.index.config import SAMPLE

TREE = Path(__file__).parent.parent
DOCS = TREE / "docs"
README = (TREE / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


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
        env={"COLUMNS": "80", "PYTHONIOENCODING": "utf-8", "CLSEARCH_DAEMON": "off"},
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


def test_the_examples_of_the_page_on_python_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, as someone who reads it would try them."""
    monkeypatch.chdir(folder)
    shutil.rmtree("notes.clsearch", ignore_errors=True)
    page = (TREE / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    printed = []
    for example in blocks("python", page):
        exec(compile(example, "docs/python.md", "exec"), names)
        printed.append(capsys.readouterr().out.splitlines())
    first, awaited, error, rag, *frameworks = printed
    assert first[0] == "63 documents, 86 passages encoded"
    assert first[1].endswith("7:1  Hold the button for ten seconds.")
    assert awaited == ["documents/cooking/bread.md", "documents/lists/bicycle.md"]
    assert "there is no index at 'nowhere.clsearch'" in error[0]
    assert re.fullmatch(r"\(what a model makes of \d+ characters\)", rag[0])
    assert rag[1] == "Nothing in the documents answers that."
    assert frameworks == [["documents/cooking/bread.md"]] * 2


@pytest.mark.parametrize("name", ["langchain_example.py", "llama_index_example.py"])
def test_the_scripts_for_frameworks_run(name: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, TREE / "docs" / name],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "documents/cooking/bread.md" in ran.stdout
    assert "Flat, spreads on the stone" in ran.stdout


def anchors(page: str) -> set[str]:
    """Of a page's headings, as GitHub names them."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{one.name}" for one in DOCS.glob("*.md"))])
def test_whatever_a_page_links_to_is_there(page: str) -> None:
    """Files, and headings in them."""
    here = TREE / page
    for link in re.findall(r"\]\(([^):\s]+)\)", here.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = here.parent / name if name else here
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_links_are_found() -> None:
    """Else the test above could pass by looking at nothing."""
    assert "](docs/cli.md)" in README
    assert "search" in anchors((DOCS / "cli.md").read_text(encoding="utf-8"))
