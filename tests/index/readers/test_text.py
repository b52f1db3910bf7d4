"""Plain text, source code, and what every reader shares."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from clsearch.index.errors import NotADocument, ReadError
from clsearch.index.readers import read, read_stream, text
from clsearch.index.types import Document, Heading

RST = """\
.. _label:

=======
A Title
=======

Text.

Sub
---

Name   Value
============

日本語
======

::

   code

Text that runs on
over a rule
-----------
"""


def only(path: Path) -> Document:
    """The one document of a file."""
    (document,) = read(path, f"notes/{path.name}")
    assert isinstance(document, Document)
    return document


def test_plain_text_is_named_by_its_file(tmp_path: Path) -> None:
    """The text as it is."""
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert only(tmp_path / "a.txt") == Document("notes/a.txt", "a.txt", "one\n\ntwo\n")


def test_an_empty_file_has_no_title_to_be_found_by(tmp_path: Path) -> None:
    """Or each `__init__.py` would answer queries."""
    (tmp_path / "__init__.py").write_text("\n")
    assert only(tmp_path / "__init__.py") == Document("notes/__init__.py", "", "\n")


def test_underlined_headings(tmp_path: Path) -> None:
    """Their levels by first use, wide characters by width; no tables, no paragraphs."""
    (tmp_path / "a.rst").write_text(RST, "utf-8")
    document = only(tmp_path / "a.rst")
    assert document.title == "A Title"
    assert document.text == RST
    assert document.headings == (
        Heading(RST.index("=======\nA"), 1, "A Title"),
        Heading(RST.index("Sub"), 2, "Sub"),
        Heading(RST.index("日本語"), 3, "日本語"),
    )


def test_headings_between_marks(tmp_path: Path) -> None:
    """As many before as behind, spaced or not; not where the text underlines its headings."""
    wiki = "= A =\nwords\n\n== B = C ==\nx == y ==\n = = = D = = = \n== no =\n==no==\n= E =\n"
    (tmp_path / "a.txt").write_text(wiki)
    document = only(tmp_path / "a.txt")
    assert document.headings == (
        Heading(0, 1, "A"),
        Heading(wiki.index("== B"), 2, "B = C"),
        Heading(wiki.index(" = = = D"), 3, "D"),
        Heading(wiki.index("= E"), 1, "E"),
    )
    assert document.title == "a.txt"  # A titles a part
    (tmp_path / "b.txt").write_text("== A ==\nwords\n=== B ===\n")
    assert only(tmp_path / "b.txt").title == "A"
    (tmp_path / "c.txt").write_text("= A =\n\nTitle\n=====\n\nwords\n")
    assert [heading.text for heading in only(tmp_path / "c.txt").headings] == ["Title"]


def test_source_code_has_no_headings(tmp_path: Path) -> None:
    """A comment may look like one."""
    code = "x = 1\n\n# Title\n# =====\n\nTitle\n=====\n"
    (tmp_path / "a.py").write_text(code)
    assert only(tmp_path / "a.py") == Document("notes/a.py", "a.py", code)


def test_unknown_names_are_read_by_what_they_hold(tmp_path: Path) -> None:
    """Files without a suffix, and standard input."""
    (tmp_path / "README").write_text("Read me.")
    assert only(tmp_path / "README").text == "Read me."
    (tmp_path / "page").write_text("<!DOCTYPE html><title>T</title><p>Hello")
    assert only(tmp_path / "page").text == "Hello"
    (record,) = read_stream(b'{"_id": "7", "text": "seven"}\n', "-")
    assert isinstance(record, Document)
    assert (record.id, record.text) == ("-#7", "seven")
    (text,) = read_stream("für dich".encode("latin-1"), "-")
    assert isinstance(text, Document)
    assert text.text == "für dich"


@pytest.mark.parametrize("name", ["a.PNG", "b.tar.gz", "c.min.js", "d.pyc"])
def test_what_is_named_as_binary_is_not_opened(name: str) -> None:
    """It need not even be there."""
    with pytest.raises(NotADocument):
        list(read(f"/nowhere/{name}", name))


def test_what_cannot_be_opened_is_a_read_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone, a folder, forbidden."""
    with pytest.raises(ReadError, match="No such file"):
        list(read(tmp_path / "gone.txt", "gone.txt"))
    with pytest.raises(ReadError, match="no regular file"):
        list(read(tmp_path, "folder"))
    (tmp_path / "secret.txt").write_text("x")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReadError, match="Permission denied"):
        list(read(tmp_path / "secret.txt", "secret.txt"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Opening it must return at once."""
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ReadError, match="no regular file"):
        list(read(tmp_path / "pipe.txt", "pipe.txt"))


def test_five_megabytes_on_one_line(tmp_path: Path) -> None:
    """In every format."""
    text = "All on one line. " * 300_000
    for name in ("a.txt", "a.md", "a.py", "a.html", "a.jsonl", "a.csv"):
        path = tmp_path / name
        path.write_text(f'{{"text": "{text}"}}' if name == "a.jsonl" else text)
        documents = list(read(path, name))
        assert len(documents) == (0 if name == "a.csv" else 1)  # a header has no records
        for document in documents:
            assert isinstance(document, Document)
            assert document.text.strip() == text.strip()


def test_importing_the_readers_imports_no_parser() -> None:
    """Nor does reading plain text."""
    code = (
        "import sys, clsearch.index.readers as r; list(r.read_stream(b'a', 'a'));"
        "print([m for m in ('yaml','markdown_it','selectolax','chardet') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_parser_that_fails_is_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(file: BinaryIO, document_id: str) -> Iterator[Document]:
        yield Document(document_id, "", str(1 // 0))

    monkeypatch.setattr(text, "read", stumble)
    path = tmp_path / "a.txt"
    path.write_text("words")
    with pytest.raises(ReadError, match=r"parser failed: ZeroDivisionError"):
        list(read(path, "a.txt"))
