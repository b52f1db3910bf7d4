"""What nobody should be given, and somebody is: it is named or skipped, and never a traceback.

Commands run as a user's do, in processes of their own, with the fake encoder in place of a model.
"""

import errno
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clsearch.index import Index
from clsearch.index.encoder import Encoder
from clsearch.index.errors import IndexDamaged, IndexUnwritable, ModelError
from clsearch.index.files import DATABASE, VECTORS
from clsearch.index.readers import read_stream
from clsearch.search import Searcher
from words_encoder import WordsEncoder

# `slow` is a command that works long enough to be struck: it says so when it has begun.
PROGRAM = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
sys.path.insert(0, {str(Path(__file__).parent)!r})
from clsearch.index import encoder, sync
from words_encoder import WordsEncoder
encoder.Encoder.load = lambda *model: WordsEncoder()
if sys.argv[1] == "slow":
    del sys.argv[1]
    inner = WordsEncoder.encode_passages
    def slow(self, texts):
        if len(texts) > 1:
            print("begun", file=sys.stderr, flush=True)
            time.sleep(20)
        return inner(self, texts)
    WordsEncoder.encode_passages = slow
from clsearch.cli import main
main()
"""
KEYWORD = "penguin"


def start(*argv: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *argv], **(streams | options))


def run(*argv: str | bytes, code: int = 0, **options: Any) -> tuple[str, str]:
    """What a command says on stdout and stderr."""
    process = start(*argv, **options)
    out, err = (stream.decode() if stream else "" for stream in process.communicate(timeout=60))
    assert "Traceback" not in out + err, err
    assert process.returncode == code, err
    if "--json" in argv and out:
        assert isinstance(json.loads(out), dict)
    return out, err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an index of three notes."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(3):
        (notes / f"{number}.md").write_text(f"note {number} of a {KEYWORD}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLSEARCH_INDEX", raising=False)
    with Index.open(tmp_path / ".clsearch", encoder=WordsEncoder()) as index:
        index.sync([notes])
    return tmp_path


def test_a_folder_of_all_that_is_bad(home: Path) -> None:
    bad = home / "bad"
    bad.mkdir()
    (bad / "junk.txt").write_bytes(bytes(range(256)) * 20)
    (bad / "nul.txt").write_bytes(b"Hello\0world, coffee grinder\0\0 manual")
    (bad / "line.txt").write_text("one line without end " * 10_000)
    os.mkfifo(bad / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("bad/socket.txt")
    (bad / "loop.txt").symlink_to("loop.txt")
    (bad / "dangling.txt").symlink_to("nowhere")
    (bad / "up").symlink_to("..")
    names = [b"new\nline.txt", b"x" * 251 + b".txt", b"\xff\xfe.txt", b"\x1b[31m.txt"]
    for name in names:
        Path(os.fsdecode(os.fsencode(bad) + b"/" + name)).write_text(f"a {KEYWORD} here")

    # Without a locale, too, where Python takes no name for UTF-8.
    bare = {"env": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}}
    out, _ = run("index", "bad", "--json", **bare)
    report = json.loads(out)
    assert report["added"] == 1 + len(names)
    skipped = {skip["name"].removeprefix("bad/"): skip["reason"] for skip in report["skipped"]}
    assert set(skipped) == {
        *("junk.txt", "nul.txt", "pipe.txt", "socket.txt", "loop.txt", "dangling.txt", "up")
    }
    assert "binary" in skipped["junk.txt"]
    assert "binary" in skipped["nul.txt"]
    hits = json.loads(run("search", KEYWORD, "--mode", "lexical", "--json", **bare)[0])["hits"]
    found = {name for hit in hits for name in (hit["document"], *hit["duplicates"])}
    assert {"bad/\\xff\\xfe.txt", "bad/new\nline.txt", "bad/\x1b[31m.txt"} < found
    out, _ = run("search", KEYWORD, **bare)
    assert "\x1b" not in out
    assert "\x1b" not in run("index", "bad", **bare)[1]
    assert run("remove", "bad/\\xff\\xfe.txt")[0] == "1 document removed\n"


def test_an_ascii_text_with_nul_is_not_taken_for_utf16() -> None:
    """Pairs of ASCII letters are Chinese in UTF-16; text that is UTF-16 has others, or its NULs."""
    for text in ("plain words, and lines\n", "灯塔建在岩石上。 海水环绕着它。"):
        [document] = read_stream(text.encode("utf-16-be"), "x")
        assert document.text == text  # type: ignore[union-attr]


@pytest.mark.parametrize("k", [100, 4_000_000_000, 2**63, 10**30])
@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_huge_k_is_all_there_is(home: Path, k: int, mode: Any) -> None:
    searcher = Searcher.open(home / ".clsearch", encoder=WordsEncoder())
    assert len(searcher.search(KEYWORD, k=k, mode=mode)) == 3
    assert len(searcher.similar("notes/1.md", k=k)) == 2


@pytest.mark.parametrize(
    "query", [b"\xff\xfe penguin", "penguin \\x00 \\ud800", "penguin " * 12_000], ids=repr
)
def test_a_query_as_a_shell_gives_it(home: Path, query: Any) -> None:
    assert len(json.loads(run("search", query, "--json")[0])["hits"]) == 3


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("", "is no index, and is not empty"),  # of a variable that is not set
        ("notes/1.md", "is a file"),
        ("/proc/none/index", "cannot be made"),
        ("y" * 300, "name too long"),
        ("notes", "is no index, and is not empty"),
    ],
)
def test_an_index_where_none_can_be(home: Path, index: str, said: str) -> None:
    out, err = run("index", "notes", "--index", index, "--json", code=2)
    assert out == ""
    assert said in err
    assert "--index" in err
    assert "clsearch: " in run("search", "x", "--index", index, code=2)[1]


def test_a_working_folder_that_is_gone(home: Path) -> None:
    argv = [["search", "x"], ["status", "--json"], ["index", str(home / "notes")]]
    for number, command in enumerate(argv):
        gone = home / f"gone{number}"
        gone.mkdir()
        shell = ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", sys.executable, "-c", PROGRAM]
        done = subprocess.run([*shell, *command], cwd=gone, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert "working folder is no longer there; change" in done.stderr


@pytest.mark.parametrize(
    ("redirect", "command", "code"),
    [
        (">&-", "search penguin", 0),
        ("2>&-", "search penguin", 0),
        (">&- 2>&-", "index nowhere", 2),
        ("<&- >&- 2>&-", "index notes", 0),
        ("<&-", "embed", 0),
        (">/dev/full", "search penguin", 2),
        (">/dev/full", "--help", 2),
        ("2>/dev/full", "index nowhere", 2),
    ],
)
def test_streams_that_are_closed_or_full(
    home: Path, redirect: str, command: str, code: int
) -> None:
    shell = ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-c", PROGRAM]
    done = subprocess.run([*shell, *command.split()], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "line" not in done.stderr


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_next_time(home: Path, blow: signal.Signals) -> None:
    many = home / "many"
    many.mkdir()
    for number in range(600):
        (many / f"{number}.txt").write_text(f"number{number}")
    process = start("slow", "index", "many", "--json")
    assert process.stderr is not None
    assert process.stderr.readline() == b"begun\n"

    # Meanwhile another is refused, and says who; searching works.
    out, err = run("index", "many", "--json", code=2)
    assert out == ""
    assert f"process {process.pid} is writing" in err
    assert len(json.loads(run("search", KEYWORD, "--json")[0])["hits"]) == 3

    process.send_signal(blow)
    out_bytes, err_bytes = process.communicate(timeout=30)
    assert out_bytes == b""
    if blow == signal.SIGINT:
        assert process.returncode == 130
        assert b"stopped; what was committed stays" in err_bytes
    else:
        assert process.returncode == -blow
    assert b"Traceback" not in err_bytes
    report = json.loads(run("index", "many", "--json")[0])
    assert report["added"] + report["unchanged"] == 600
    assert "as it was written" in run("check")[0]
    assert "many/599.txt" in run("search", "number599", "-k", "1")[0]


def test_a_database_that_lost_its_tables_is_no_new_one(home: Path) -> None:
    """Its pages may still hold every document: nothing is written there."""
    database = home / ".clsearch" / DATABASE
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema")
    data = database.read_bytes()
    assert sqlite3.connect(database).execute("SELECT * FROM sqlite_schema").fetchall() == []
    for open_it in (Index.open, Searcher.open):
        with pytest.raises(IndexDamaged, match=r"lost its tables.*Move the index away"):
            open_it(home / ".clsearch", encoder=WordsEncoder())
    assert database.read_bytes() == data


def test_a_document_without_an_id(home: Path) -> None:
    with sqlite3.connect(home / ".clsearch" / DATABASE) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'documents'"
        )
    with sqlite3.connect(home / ".clsearch" / DATABASE) as connection:
        connection.execute("UPDATE documents SET id = NULL WHERE id = 'notes/1.md'")
    connection.close()
    assert "no document 'notes/1.md'" in run("similar", "notes/1.md", code=2)[1]
    assert "clsearch: " in run("check", code=2)[1]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE])
def test_a_segment_that_may_not_be_opened_is_not_damaged(
    home: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Taken for damaged, it would be moved away and encoded again."""
    [segment] = (home / ".clsearch" / VECTORS).glob("*.faiss")
    opened = Path.open

    def refused(path: Path, *arguments: Any) -> Any:
        if path == segment:
            raise OSError(code, os.strerror(code), str(path))
        return opened(path, *arguments)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(IndexUnwritable, match=r"cannot be opened .* Check the permissions"):
        Searcher.open(home / ".clsearch", encoder=WordsEncoder()).search("x", mode="dense")
    with pytest.raises(IndexUnwritable):
        Index.open(home / ".clsearch", encoder=WordsEncoder())
    monkeypatch.undo()
    assert segment.exists()


def test_a_model_that_cannot_run_makes_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are read late: an index made with what then fails could not be used with another."""

    class Broken(WordsEncoder):
        def encode_queries(self, texts: Any) -> Any:
            raise ModelError("the weights do not fit")

    monkeypatch.setattr(Encoder, "load", lambda *model: Broken())
    with pytest.raises(ModelError):
        Index.open(tmp_path / "index", model="broken")
    assert not (tmp_path / "index").exists()


def test_a_refused_pooling_is_in_the_command_that_is_advised(home: Path) -> None:
    with Index.open(home / "index", encoder=WordsEncoder()):
        pass
    other = WordsEncoder(seed="other")
    with pytest.raises(Exception, match="--reencode --pooling mean"):
        Index.open(home / "index", pooling="mean", encoder=other)


@pytest.mark.parametrize(
    "damage",
    [
        "sources SET name = CAST(name AS BLOB)",  # one bit of a record's header does this
        "sources SET root = CAST(root AS BLOB)",
        "segments SET passages = x''",
        "documents SET metadata = '77'",
    ],
)
def test_a_value_of_another_type(home: Path, damage: str) -> None:
    with sqlite3.connect(home / ".clsearch" / DATABASE) as connection:
        connection.execute(f"UPDATE {damage}")
    connection.close()
    for argv in (["search", KEYWORD], ["index", "notes"], ["check"], ["check", "--repair"]):
        with start(*argv) as process:
            out, err = process.communicate()
        assert process.returncode in (0, 2), argv
        assert b"Traceback" not in out + err, argv
