"""Each command through click: what it prints, its JSON, its exit code, and what it refuses."""

import errno
import fcntl
import json
import os
import runpy
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest

from clsearch.cli import DEMO_QUESTIONS, cli
from clsearch.index.config import SAMPLE
from clsearch.index.encoder import Encoder

NOTES = {
    "router.md": "# Router\n\nHold the reset button for ten seconds.\n",
    "bread.md": "# Bread\n\nFlour, water, salt and a night in the fridge.\n",
    "sky/moon.md": "# Moon\n\nThe tides follow the moon, and the moon pulls the sea.\n",
}
JSON = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "make_cli.py"))["JSON"]

Run = Callable[..., click.testing.Result]


@pytest.fixture(autouse=True)
def _words(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is a fake encoder; the same name gives the same one."""
    kind = type(encoder)

    def load(model: str = "embedded", pooling: str | None = None, device: str | None = None) -> Any:
        made = kind(seed=f"{model} {pooling}")
        made.name = model
        return made

    monkeypatch.setattr(Encoder, "load", load)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with some notes, and no index."""
    for name, text in NOTES.items():
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLSEARCH_INDEX", raising=False)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run a command; a traceback fails the test."""

    def run(*argv: str, code: int = 0, stdin: bytes | None = None) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(cli, argv, input=stdin, prog_name="clsearch")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def indexed(home: Path, run: Run) -> Path:
    """The working folder with its notes indexed."""
    run("index", "notes")
    return home


def same_shape(given: Any, documented: Any) -> None:
    """The keys of two JSON values are the same, in the same order, all the way down.

    Of the scores, a hit has those of the rankings that found it.
    """
    if isinstance(documented, dict) and documented:
        if "dense" in documented:
            assert set(given) <= set(documented)
        else:
            assert list(given) == list(documented)
        for key in given:
            same_shape(given[key], documented[key])
    elif isinstance(documented, list) and documented and given:
        same_shape(given[0], documented[0])


def test_index_makes_an_index_here_and_says_what_it_did(home: Path, run: Run) -> None:
    """The counts in words; nothing on stderr; a second run finds everything unchanged."""
    first = run("index", "notes")
    assert first.stdout.startswith("3 documents added, 0 updated, 0 removed, 0 unchanged; 3 passag")
    assert first.stderr == ""
    assert (home / ".clsearch" / "index.db").is_file()
    (home / "notes" / "bread.md").unlink()
    (home / "notes" / "router.md").write_text("# Router\n\nAnother text.\n")
    second = run("index", "notes")
    assert second.stdout.startswith("0 documents added, 1 updated, 1 removed, 1 unchanged;")


def test_index_json(home: Path, run: Run) -> None:
    """One object, as documented."""
    said = json.loads(run("index", "notes", "--json").stdout)
    same_shape(said, JSON["index"])
    assert (said["added"], said["encoded"], said["skipped"]) == (3, 3, [])
    assert said["index"] == ".clsearch"


def test_index_finds_the_index_above(indexed: Path, run: Run, monkeypatch: Any) -> None:
    """As git does."""
    monkeypatch.chdir(indexed / "notes" / "sky")
    said = json.loads(run("index", "moon.md", "--json").stdout)
    assert said["index"] == str(indexed / ".clsearch")
    assert said["unchanged"] == 1


def test_no_prune_keeps_what_is_gone(indexed: Path, run: Run) -> None:
    """And --prune, the default, removes it."""
    (indexed / "notes" / "bread.md").unlink()
    assert json.loads(run("index", "notes", "--no-prune", "--json").stdout)["removed"] == 0
    assert json.loads(run("index", "notes", "--json").stdout)["removed"] == 1


def test_index_names_what_it_skips(home: Path, run: Run) -> None:
    """Ten by name, the rest by number; a FIFO does not block; the run goes on."""
    for number in range(12):
        os.mkfifo(home / "notes" / f"pipe{number:02}")
    (home / "notes" / "new\nline.txt").write_text("A name with a line end.")
    (home / "notes" / os.fsdecode(b"caf\xe9.txt")).write_text("A name that is no UTF-8.")
    result = run("index", "notes")
    assert result.stderr.count("skipped notes/pipe") == 10
    assert "skipped notes/pipe00: it is a named pipe" in result.stderr
    assert "skipped 2 more" in result.stderr
    assert result.stdout.startswith("5 documents added")
    said = json.loads(run("index", "notes", "--json").stdout)
    assert [item["name"] for item in said["skipped"]] == [f"notes/pipe{n:02}" for n in range(12)]
    shown = run("search", "name", "line end", "--mode", "lexical").stdout
    assert "notes/new␊line.txt:1" in shown


def test_index_standard_input(home: Path, run: Run) -> None:
    """`-` is the document `stdin`; alone, or not at all."""
    run("index", "-", stdin=b"# Piped\n\nWords from a pipe.\n")
    hit = json.loads(run("search", "pipe", "--json").stdout)["hits"][0]
    assert hit["document"] == "stdin"
    assert "Words from a pipe." in hit["passage"]["text"]
    assert "alone" in run("index", "-", "notes", code=2).stderr
    assert not run("index", "-", stdin=b"\x00\x01\x02\x03" * 99, code=2).stdout.startswith("1")


def test_index_with_another_model_is_refused_until_reencoded(indexed: Path, run: Run) -> None:
    """The message holds the command; after it the new model answers."""
    refused = run("index", "notes", "--model", "other", code=2).stderr
    assert "clsearch index --reencode --model other" in refused
    run("index", "--reencode", "--model", "other")
    assert json.loads(run("status", "--json").stdout)["model"] == "other"
    assert json.loads(run("search", "reset button", "--json").stdout)["hits"]


@pytest.mark.parametrize("argv", [[], ["notes", "--reencode"]])
def test_index_needs_either_sources_or_reencode(home: Path, run: Run, argv: list[str]) -> None:
    """Usage, exit code 2."""
    assert "Usage: clsearch index" in run("index", *argv, code=2).stderr


def test_a_source_that_is_not_there_makes_no_index(home: Path, run: Run) -> None:
    """It is named."""
    assert "nowhere" in run("index", "nowhere", code=2).stderr
    assert not (home / ".clsearch").exists()


def test_an_empty_folder_is_no_source_of_anything(home: Path, run: Run) -> None:
    """Named, with the reason."""
    (home / "empty").mkdir()
    message = run("index", "empty", code=2).stderr
    assert "nothing to index in 'empty'" in message


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_search_finds_and_prints(indexed: Path, run: Run, mode: str) -> None:
    """Rank, title, score; document:line; the passage. No colours where nobody looks."""
    lines = run("search", "reset", "button", "--mode", mode, "-k", "1").stdout.splitlines()
    assert lines[0].startswith(" 1. Router  ")
    assert 0 <= float(lines[0].split()[2]) <= 1
    assert lines[1] == "    notes/router.md:1"
    assert lines[2] == "    Hold the reset button for ten seconds."
    assert "\x1b" not in "".join(lines)


def test_search_json(indexed: Path, run: Run) -> None:
    """The object of the design, key for key."""
    said = json.loads(run("search", "the", "moon", "--json", "-k", "2").stdout)
    same_shape(said, JSON["search"])
    assert (said["query"], said["mode"]) == ("the moon", "hybrid")
    assert [hit["rank"] for hit in said["hits"]] == list(range(1, len(said["hits"]) + 1))
    top = said["hits"][0]
    assert top["document"] == "notes/sky/moon.md"
    text = NOTES["sky/moon.md"]
    assert text[top["passage"]["start"] : top["passage"]["end"]] == top["passage"]["text"]


def test_nothing_found_is_exit_code_1(indexed: Path, run: Run) -> None:
    """With a hint on stderr; as JSON an empty list."""
    result = run("search", "zeppelin", "--mode", "lexical", code=1)
    assert result.stdout == ""
    assert "nothing found" in result.stderr
    said = run("search", "zeppelin", "--mode", "lexical", "--json", code=1)
    assert json.loads(said.stdout)["hits"] == []


@pytest.mark.parametrize("query", ['"', "a AND", "NEAR(", "*", "col:umn", "'; --", "\x00", "-x"])
def test_any_string_is_a_query(indexed: Path, run: Run, query: str) -> None:
    """The syntax of FTS5 means nothing here."""
    for mode in ("hybrid", "lexical"):
        result = click.testing.CliRunner().invoke(cli, ["search", "--mode", mode, "--", query])
        assert result.exit_code in (0, 1), result.output


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["search", "  "], "the query is empty"),
        (["search", "x", "-k", "0"], "0 is not in the range"),
        (["search", "x", "--mode", "psychic"], "'hybrid', 'dense', 'lexical'"),
        (["search"], "give a QUERY, or --queries FILE"),
        (["search", "x", "--queries", "-"], "give a QUERY, or --queries FILE"),
        (["search", "--queries", "nowhere.txt"], "nowhere.txt"),
        (["similar", "no-such.md"], "no-such.md"),
        (["status", "--index", "nowhere"], "no index at 'nowhere'"),
        (["remove", "x", "--index", "nowhere"], "no index at 'nowhere'"),
        (["optimize", "--index", "nowhere"], "no index at 'nowhere'"),
        (["check", "--repair", "--index", "nowhere"], "no index at 'nowhere'"),
        (["eval", "nowhere"], "nowhere"),
        (["embed", "nowhere.txt"], "nowhere.txt"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_use_is_exit_code_2(indexed: Path, run: Run, argv: list[str], said: str) -> None:
    """A message on stderr that names the value, and nothing on stdout."""
    result = run(*argv, code=2)
    assert said in result.stderr
    assert result.stdout == ""
    assert not (indexed / "nowhere").exists()


@pytest.mark.parametrize("command", ["status", "search x", "similar x", "remove x", "optimize"])
def test_without_an_index_each_command_says_how_to_make_one(
    home: Path, run: Run, command: str
) -> None:
    """And makes none."""
    assert "clsearch index FOLDER" in run(*command.split(), code=2).stderr
    assert not (home / ".clsearch").exists()


def test_the_variable_names_the_index(indexed: Path, run: Run, monkeypatch: Any) -> None:
    """$CLSEARCH_INDEX, unless --index says otherwise."""
    (indexed / ".clsearch").rename(indexed / "elsewhere")
    monkeypatch.setenv("CLSEARCH_INDEX", str(indexed / "elsewhere"))
    assert json.loads(run("status", "--json").stdout)["index"] == str(indexed / "elsewhere")
    run("status", "--index", "nowhere", code=2)


def test_similar(indexed: Path, run: Run) -> None:
    """The other documents, never the one itself."""
    said = json.loads(run("similar", "notes/router.md", "--json").stdout)
    same_shape(said, JSON["similar"])
    assert {hit["document"] for hit in said["hits"]} == {"notes/bread.md", "notes/sky/moon.md"}
    assert "notes/bread.md:" in run("similar", "notes/router.md").stdout


def test_a_document_cannot_steer_the_terminal(indexed: Path, run: Run) -> None:
    """Escape sequences in text and in names come out as visible characters."""
    (indexed / "notes" / "evil\x1b[2J.txt").write_text(
        "innocent\x1b]0;owned\x07 words\x9b31m " + "among many others that are what they seem " * 20
    )
    run("index", "notes")
    shown = run("search", "innocent", "--mode", "lexical").stdout
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert "evil␛[2J.txt" in shown
    assert "innocent␛]0;owned␇" in shown


def test_queries_of_a_file(indexed: Path, run: Run) -> None:
    """An object a line, in the order of the file, as each alone; blank lines are none."""
    (indexed / "asked.txt").write_text("moon tides\n\n  reset button \r\n")
    result = run("search", "--queries", "asked.txt", "--json", "-k", "2")
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["query"] for one in said] == ["moon tides", "reset button"]
    for one in said:
        alone = json.loads(run("search", one["query"], "--json", "-k", "2").stdout)
        assert one == {name: value for name, value in alone.items() if name != "took_ms"}


def test_many_queries_of_a_file(indexed: Path, run: Run) -> None:
    """By a command of its own, whose processes share them: the same, in the same order."""
    words = ["moon", "tides", "reset", "nowhere", "button"]
    lines = [f"{words[n % 5]} {words[n % 3]}" for n in range(150)]
    (indexed / "asked.txt").write_text("\n".join(lines))
    argv = ["search", "--queries", "asked.txt", "--mode", "lexical"]
    here = run(*argv)
    command = [sys.executable, "-m", "clsearch", *argv]
    there = subprocess.run(command, capture_output=True, text=True, check=True, cwd=indexed)
    assert there.stdout == here.stdout
    assert there.stderr == here.stderr
    assert [line for line in there.stdout.splitlines() if line[0:2] == "? "] == [
        f"? {line}" for line in lines
    ]


def test_queries_of_standard_input(indexed: Path, run: Run) -> None:
    """A block each; the exit code says whether any found something."""
    argv = ["search", "--queries", "-", "--mode", "lexical"]
    result = run(*argv, stdin=b"moon\nnowhere\n")
    assert result.stdout.startswith("? moon\n 1. ")
    assert "? nowhere\n" in result.stdout
    assert "nothing found" in result.stderr
    run(*argv, stdin=b"nowhere\nnot here\n", code=1)
    assert run(*argv, stdin=b"\n", code=1).stdout == ""


def test_status(indexed: Path, run: Run) -> None:
    """What is in it and what made it; as documented."""
    said = json.loads(run("status", "--json").stdout)
    same_shape(said, JSON["status"])
    assert (said["documents"], said["passages"], said["sources"]) == (3, 3, 3)
    assert said["bytes"] == sum(
        path.stat().st_size for path in (indexed / ".clsearch").rglob("*") if path.is_file()
    )
    text = run("status").stdout
    assert "documents    3\n" in text
    assert said["fingerprint"][:12] in text
    assert "queries      not recorded" in text  # the fake encoder says nothing of it


def test_remove(indexed: Path, run: Run) -> None:
    """By id; unknown ids count as nothing found."""
    assert run("remove", "notes/bread.md").stdout == "1 document removed\n"
    assert json.loads(run("status", "--json").stdout)["documents"] == 2
    result = run("remove", "notes/bread.md", "--json", code=1)
    assert json.loads(result.stdout) == {"removed": 0}
    same_shape({"removed": 0}, JSON["remove"])


def test_optimize(indexed: Path, run: Run) -> None:
    """Tombstones go."""
    run("remove", "notes/bread.md")
    said = json.loads(run("optimize", "--json").stdout)
    same_shape(said, JSON["optimize"])
    assert (said["tombstones_before"], said["tombstones"], said["segments"]) == (1, 0, 1)
    assert run("optimize").stdout.startswith("1 segment with 0 tombstones")


def test_check_finds_a_flipped_bit_and_repair_mends_it(indexed: Path, run: Run) -> None:
    """Exit code 2 while there is damage; afterwards everything is found again."""
    assert run("check").stdout == "everything is as it was written\n"
    (segment,) = (indexed / ".clsearch" / "vectors").glob("*.faiss")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    said = run("check", "--json", code=2)
    same_shape(json.loads(said.stdout), JSON["check"])
    assert segment.stem in json.loads(said.stdout)["problems"][0]
    assert "clsearch check --repair" in said.stderr
    assert "repaired: " in run("check", "--repair").stdout
    assert json.loads(run("search", "reset", "--json").stdout)["hits"][0]["title"] == "Router"
    assert json.loads(run("check", "--json").stdout)["problems"] == []


def test_embed(home: Path, run: Run, encoder: Any) -> None:
    """A vector a line, those of the encoder, empty lines too."""
    lines = run("embed", "-", stdin=b"one two\r\n\nthree").stdout.splitlines()
    expected = type(encoder)(seed="embedded None").encode_passages(["one two", "", "three"])
    np.testing.assert_allclose([json.loads(line) for line in lines], expected, atol=1e-8)
    said = json.loads(run("embed", "--json", "--query", stdin=b"one two\n").stdout)
    same_shape(said, JSON["embed"])
    np.testing.assert_allclose(said["vectors"], expected[:1], atol=1e-8)
    assert run("embed", stdin=b"").stdout == ""


def test_demo(home: Path, run: Run) -> None:
    """It leaves an index to play with, and says so; a second time it is there already."""
    said = json.loads(run("demo", "--json").stdout)
    same_shape(said, JSON["demo"])
    assert [asked["query"] for asked in said["questions"]] == list(DEMO_QUESTIONS)
    text = run("demo").stdout
    for question in DEMO_QUESTIONS:
        assert f"? {question}\n" in text
    assert "cd clsearch-demo" in text
    sources = sum(path.is_file() for path in (SAMPLE / "documents").rglob("*"))
    status = json.loads(run("status", "--index", "clsearch-demo/.clsearch", "--json").stdout)
    assert status["sources"] == sources


def test_a_newer_schema_is_named(indexed: Path, run: Run) -> None:
    """And left alone."""
    with sqlite3.connect(indexed / ".clsearch" / "index.db") as database:
        database.execute("UPDATE settings SET value = '99' WHERE key = 'schema'")
    database.close()
    for command in (["search", "x"], ["index", "notes"], ["status"], ["check"]):
        assert "schema 99" in run(*command, code=2).stderr


def test_a_locked_index_can_be_read_but_not_written(indexed: Path, run: Run) -> None:
    """The second writer is refused at once."""
    with open(indexed / ".clsearch" / "writer.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        assert "is writing to the index" in run("index", "notes", code=2).stderr
        assert time.monotonic() - began < 5
        run("search", "moon")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "'/x': permission denied"),
        (sqlite3.DatabaseError("disk image is malformed"), "clsearch check"),
    ],
)
def test_what_the_system_refuses_ends_in_words(
    indexed: Path, run: Run, monkeypatch: Any, error: Exception, said: str
) -> None:
    """Also where no part of the index had an explanation."""
    monkeypatch.setattr("clsearch.search.Searcher.answer_many", _raising(error))
    assert said in run("search", "x", code=2).stderr


def test_an_interrupt_is_said_and_has_its_exit_code(
    indexed: Path, run: Run, monkeypatch: Any
) -> None:
    """130, as shells expect."""
    monkeypatch.setattr("clsearch.index.index.sync", _raising(KeyboardInterrupt()))
    assert "what was committed stays" in run("index", "notes", code=130).stderr
    monkeypatch.undo()


def _raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_a_closed_pipe_ends_quietly(indexed: Path) -> None:
    """`clsearch … | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "clsearch", "search", "the moon", "--mode", "lexical"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode != -signal.SIGPIPE


@pytest.mark.parametrize("colour", [True, False])
def test_marks_and_colours_are_for_terminals(indexed: Path, colour: bool) -> None:
    """Bold red for the words that match; none with NO_COLOR."""
    main, side = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "" if colour else "1"}
    command = [sys.executable, "-m", "clsearch", "search", "tides", "--mode", "lexical"]
    done = subprocess.run(command, stdout=side, env=environment, timeout=60, check=False)
    os.close(side)
    shown = b""
    while True:
        try:
            shown += (part := os.read(main, 4096))
        except OSError:  # the other end is closed, and everything read
            break
        if not part:
            break
    os.close(main)
    assert done.returncode == 0
    assert (b"\x1b[31m\x1b[1mtides\x1b[0m" in shown) == colour
    assert (b"\x1b[" in shown) == colour
