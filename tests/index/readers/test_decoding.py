"""Bytes -> text, against files whose exact text is known."""

import json
import random
import unicodedata
from pathlib import Path

import pytest

from clsearch.index.errors import NotADocument, ReadError
from clsearch.index.readers import read
from clsearch.index.readers.decoding import decode
from clsearch.index.types import Document

FOLDER = Path(__file__).parent / "encodings"
EXPECTED = json.loads((FOLDER / "EXPECTED_TEXT.json").read_text("utf-8"))


def text_of(path: Path) -> str:
    """The text of the one document of a file."""
    (document,) = read(path, path.name)
    assert isinstance(document, Document)
    return document.text


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_encoding_gives_its_exact_text(name: str) -> None:
    """Legacy, wide, seven-bit, marked, declared; bad bytes cost only themselves."""
    text = text_of(FOLDER.parent / name)
    expected = EXPECTED[name]["text"]
    if expected is None:  # the one with invalid bytes, whose good part is known
        expected = EXPECTED["encodings/ko.utf-8-bom.txt"]["text"]
        assert "\ufffd" in text
        assert text.split("\ufffd")[0] == expected[: text.index("\ufffd")]
        assert expected.endswith(text.split("\ufffd")[-1])
        return
    if name.endswith("nfd.txt"):
        assert text != expected
        text = unicodedata.normalize("NFC", text)
    assert text == expected


def test_no_fixture_is_left_out() -> None:
    """Every file of the folder has its expected text."""
    names = {f"encodings/{path.name}" for path in FOLDER.iterdir()}
    assert names - {"encodings/EXPECTED_TEXT.json", "encodings/.gitattributes"} == set(EXPECTED)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café au lait", "latin-1"),
        ("Müller grüßt", "cp1252"),
        ("naïve — “quoted”", "cp1252"),
        ("100 µm ± 5%", "latin-1"),
        ("Привет мир", "cp1251"),
        ("日本語", "shift_jis"),
        ("한국어 문서", "euc-kr"),
        ("Grüße aus Köln\n", "utf-16-le"),
        ("Grüße aus Köln\n", "utf-32-be"),
        ("x = 1\n" * 1000 + "# été\n", "latin-1"),
    ],
)
def test_short_texts(text: str, encoding: str) -> None:
    """A few letters outside ASCII, too few for statistics, still come out right."""
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"a\rb\r", "a\nb\n"),
        (b"10%\r20%\r\nend\n", "10%\r20%\nend\n"),
        (b"\xef\xbb\xbfa", "a"),
        (b"plain\n" * 200 + b"\0", "plain\n" * 200 + "\ufffd"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        (b'(format t "~{~a~^, ~}" list)', '(format t "~{~a~^, ~}" list)'),
    ],
)
def test_line_ends_marks_and_odd_characters(data: bytes, text: str) -> None:
    """One kind of line end; no mark; no NUL; escapes and tildes are not taken for an encoding."""
    assert decode(data) == text


@pytest.mark.parametrize(
    "data",
    [
        random.Random(7).randbytes(5000),
        b"\x7fELF\x02\x01\x01" + bytes(200) + random.Random(8).randbytes(300),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(9).randbytes(300),
        bytes(1000),
        bytes(range(256)) * 4,
    ],
)
def test_binary_data_is_no_text(data: bytes, tmp_path: Path) -> None:
    """Named as text it is an error, else a file of another kind."""
    with pytest.raises(NotADocument, match="binary"):
        decode(data)
    (tmp_path / "junk.txt").write_bytes(data)
    (tmp_path / "junk").write_bytes(data)
    with pytest.raises(NotADocument):
        list(read(tmp_path / "junk", "junk"))
    with pytest.raises(ReadError, match=r"binary.*\.txt") as caught:
        list(read(tmp_path / "junk.txt", "junk.txt"))
    assert not isinstance(caught.value, NotADocument)


def test_what_a_page_declares_is_believed_where_it_fits() -> None:
    """A declaration decides what bytes leave open, and no more."""
    # Too short for any statistics: only the declaration can tell.
    assert decode("é".encode("cp1250"), "windows-1250") == "é"
    assert decode("Łódź".encode("iso8859-2"), "iso-8859-2") == "Łódź"
    assert decode("Łódź".encode(), "iso-8859-1") == "Łódź"
    assert decode("“é”".encode("cp1252"), "iso-8859-1") == "“é”"
    assert decode("é".encode("latin-1"), "no-such-encoding") == "é"
