"""Backup, restore, export and import through the command line, and what shells complete."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.shell_completion import ShellComplete

from clsearch.cli import cli
from clsearch.index import exchange
from clsearch.index.encoder import Encoder
from clsearch.operations import FORMATS, SHELLS

TREE = Path(__file__).parent.parent
JSON = runpy.run_path(str(TREE / "docs" / "make_cli.py"))["JSON"]
Run = Callable[..., click.testing.Result]


@pytest.fixture
def home(tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two notes, indexed by a fake encoder."""

    def load(model: str = "embedded", pooling: str | None = None) -> Any:
        made = type(encoder)(seed=model)
        made.name = model
        return made

    monkeypatch.setattr(Encoder, "load", load)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLSEARCH_INDEX", raising=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# Router\n\nHold the reset button.\n")
    (tmp_path / "notes" / "b.txt").write_text("Flour, water and salt.\n")
    assert click.testing.CliRunner().invoke(cli, ["index", "notes"]).exit_code == 0
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run a command that must end with this code."""

    def run(*argv: str, code: int = 0) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(cli, argv, prog_name="clsearch")
        assert result.exit_code == code, result.output
        return result

    return run


def said(result: click.testing.Result, command: str) -> dict[str, Any]:
    """The JSON of a command, whose keys are those that are documented."""
    value: dict[str, Any] = json.loads(result.stdout)
    assert list(value) == list(JSON[command])
    return value


def test_a_backup_is_restored(home: Path, run: Run) -> None:
    before = json.loads(run("search", "reset", "--json").stdout)["hits"]
    made = said(run("backup", "kept", "--json"), "backup")
    assert (made["documents"], made["backup"]) == (2, "kept")
    shutil.rmtree(".clsearch")
    assert said(run("restore", "kept", "--json"), "restore")["index"] == ".clsearch"
    assert json.loads(run("search", "reset", "--json").stdout)["hits"] == before
    assert "everything is as it was written" in run("check").stdout
    assert "nothing is written over" in run("restore", "kept", code=2).stderr
    assert run("backup", "again").stdout.startswith("again: 2 documents, 2 passages, ")


def test_a_restore_comes_to_the_working_folder(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not to an index above it, which nobody has named."""
    run("backup", "kept")
    monkeypatch.chdir(home / "notes")
    run("restore", "../kept")
    assert Path(".clsearch").is_dir()
    monkeypatch.setenv("CLSEARCH_INDEX", "named")
    run("restore", "../kept")
    assert Path("named").is_dir()


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_imported(home: Path, run: Run, format: str) -> None:
    made = said(run("export", "out", "--format", format, "--json"), "export")
    assert (made["documents"], made["passages"]) == (2, 2)
    taken = said(run("import", "out", "--index", "new", "--json"), "import")
    assert (taken["added"], taken["encoded"], taken["reused"]) == (2, 0, 2)
    found = json.loads(run("search", "reset", "--json", "--index", "new").stdout)["hits"]
    assert found == json.loads(run("search", "reset", "--json").stdout)["hits"]


def test_the_formats_are_those_that_there_are() -> None:
    """The command line does not import them to know."""
    assert exchange.FORMATS == FORMATS


def test_an_export_of_nothing_says_so(home: Path, run: Run) -> None:
    result = run("export", "out", "--format", "beir", "--where", "lang = 'xx'", code=1)
    assert "no document was there to export" in result.stderr
    assert "expected" in run("export", "no", "--format", "beir", "--where", "(", code=2).stderr
    assert not Path("no").exists()


def test_an_import_with_another_model_says_that_all_is_encoded(home: Path, run: Run) -> None:
    run("export", "out", "--format", "jsonl")
    result = run("import", "out", "--index", "new", "--model", "another")
    assert "the vectors in out are of 'embedded'" in result.stderr
    assert "2 passages encoded, 0 reused" in result.stdout


def test_what_cannot_be_imported_leaves_no_index(home: Path, run: Run) -> None:
    assert "there is no" in run("import", "notes", "--index", "new", code=2).stderr
    Path("report.pdf").write_bytes(b"%PDF")
    assert "line 1: not JSON" in run("import", "report.pdf", "--index", "new", code=2).stderr
    assert not Path("new").exists()


@pytest.fixture
def shell_home(tmp_path: Path) -> Path:
    """A home with a `clsearch` on the path, and some files."""
    program = tmp_path / "bin" / "clsearch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m clsearch "$@"\n')
    program.chmod(0o755)
    (tmp_path / "queries.txt").touch()
    return tmp_path


BASH = """
source <(clsearch completion bash)
COMP_WORDS=({line})
COMP_CWORD=$(({words} - 1))
_clsearch_completion clsearch
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# What completes is replaced by what prints, as it needs a terminal.
ZSH = """
compdef() {{ }}
_describe() {{ print -l -- "${{(@)${{(P@)3}}%%:*}}" }}
compadd() {{ print -l -- "${{(@)${{(P@)@[-1]}}}}" }}
source <(clsearch completion zsh)
words=({line})
CURRENT={words}
_clsearch_completion
"""
FISH = """
clsearch completion fish | source
complete -C {quoted} | string split --fields 1 \\t
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "expected", "missing"),
    [
        ("clsearch re", {"remove", "restore"}, {"search", "export"}),
        ("clsearch export out --fo", {"--format"}, {"--index"}),
        ("clsearch export out --format j", {"jsonl"}, {"beir", "parquet"}),
    ],
    ids=["command", "option", "value"],
)
def test_a_shell_completes(
    shell: str, line: str, expected: set[str], missing: set[str], shell_home: Path
) -> None:
    """In the shell itself, by its own script."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    script = SCRIPTS[shell].format(line=line, quoted=f"'{line}'", words=len(line.split()))
    environment = {
        **os.environ,
        "HOME": str(shell_home),
        "XDG_CONFIG_HOME": str(shell_home),
        "PATH": f"{shell_home / 'bin'}:{os.environ['PATH']}",
    }
    ran = subprocess.run(
        [program, "-c", script],
        cwd=shell_home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    offered = set(ran.stdout.split())
    assert expected <= offered, ran
    assert not missing & offered


@pytest.mark.parametrize(
    ("argv", "name"),
    [(["index"], "qu"), (["check", "--index"], "x"), (["eval", "--qrels"], "x"), (["backup"], "x")],
)
def test_files_are_left_to_the_shell(argv: list[str], name: str) -> None:
    [item] = ShellComplete(cli, {}, "clsearch", "_CLSEARCH_COMPLETE").get_completions(argv, name)
    assert (item.type, item.value) == ("file", name)


def test_the_script_is_in_the_json(run: Run) -> None:
    value = said(run("completion", "fish", "--json"), "completion")
    assert value["script"] == run("completion", "fish").stdout
