"""A file of one's own: lines of a query and a path."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clsearch.index.errors import UsageError
from clsearch.search.evaluate.pairs import read_pairs

KNOWN = ["notes/old bread.md", "notes/router.md", "notes/sky/moon.md", "list.csv#3", "/srv/b.md"]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], dict[str, dict[str, int]]]:
    """The judgments that a text says about documents KNOWN to the index in tmp_path."""

    def read(text: str) -> dict[str, dict[str, int]]:
        (tmp_path / "own.tsv").write_text(text)
        return read_pairs(tmp_path / "own.tsv", tmp_path / ".clsearch", KNOWN)

    return read


def test_lines(read: Callable[[str], object]) -> None:
    """Several lines for several answers; a header, comments, blank lines; relevance or 1."""
    assert read(
        "Query\tPath\trelevance\n"
        "# how I ask\n"
        "wifi is down\tnotes/router.md\n"
        " wifi is down\tnotes/old bread.md\t0\r\n"
        "\n"
        "tides\tnotes/sky/moon.md\t3\n"
        "#tides\tnotes/none.md\n"
        "plants\tlist.csv#3\n"
        "plants\tlist.csv#3\n"
    ) == {
        "wifi is down": {"notes/router.md": 1, "notes/old bread.md": 0},
        "tides": {"notes/sky/moon.md": 3},
        "plants": {"list.csv#3": 1},
    }


def test_paths_from_the_working_folder(
    read: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell completes them; absolute ones, too; an id goes before a path."""
    (tmp_path / "notes" / "sky").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notes" / "sky")
    for path in ("moon.md", "./moon.md", "../sky/moon.md", str(tmp_path / "notes/sky/moon.md")):
        assert read(f"tides\t{path}\n") == {"tides": {"notes/sky/moon.md": 1}}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("tides\t~/notes/sky/moon.md\n") == {"tides": {"notes/sky/moon.md": 1}}
    assert read("b\t/srv/b.md\n") == {"b": {"/srv/b.md": 1}}
    assert read("wifi\tnotes/router.md\n") == {"wifi": {"notes/router.md": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tnotes/router.md\nb  notes/router.md\n", "line 2: 'b  notes/router.md' is not a query"),
        ("a\t\n", "line 1"),
        ("\tnotes/router.md\n", "line 1"),
        ("a\tnotes/router.md\tyes\n", "a whole number from 0"),
        ("a\tnotes/router.md\t-1\n", "a whole number from 0"),
        ("a\tnotes/router.md\t1\tmore\n", "line 1"),
        ("a\tnotes/router.md\na\tnotes/router.md\t2\n", "line 2"),
        ("# nothing\n", "no judgments: write lines of a query, a tab"),
    ],
)
def test_a_line_that_is_none(read: Callable[[str], object], text: str, said: str) -> None:
    """The message has its number and what belongs there."""
    with pytest.raises(UsageError) as caught:
        read(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("path", "close"),
    [
        ("moon.md", "'notes/sky/moon.md'"),
        ("notes/rooter.md", "'notes/router.md'"),
        ("list.csv", "'list.csv#3'"),
    ],
)
def test_a_path_that_is_no_document(read: Callable[[str], object], path: str, close: str) -> None:
    """Those that may be meant are named: of that name, alike, or the records of that file."""
    with pytest.raises(UsageError) as caught:
        read(f"a\tnotes/router.md\nb\t{path}\n")
    assert f"own.tsv, line 2: no document {path!r} in the index; there is {close}" in str(
        caught.value
    )


def test_all_that_is_no_document_is_named_at_once(read: Callable[[str], object]) -> None:
    """The first five, and how many more."""
    with pytest.raises(UsageError) as caught:
        read("".join(f"q{n}\tzzz{n}\n" for n in range(8)))
    assert str(caught.value).count("no document") == 5
    assert "and 3 more" in str(caught.value)
    assert "--index" in str(caught.value)
