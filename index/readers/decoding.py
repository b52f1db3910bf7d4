"""Bytes -> text: the encoding found, line ends made one, binary data told apart."""

import codecs
import re
import unicodedata

from ..errors import NotADocument

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is the start of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
# What pages declare, and what browsers then take it to mean: the superset in real use.
# https://encoding.spec.whatwg.org/#names-and-labels
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "tis-620": "cp874",
}
# No text holds these, but for the odd one: NUL to BS, SO to SUB, FS to US, DEL.
CONTROLS = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])
MOST_CONTROLS = 0.01  # of all bytes; random and compressed bytes hold some 0.1
HEAD = 65_536  # bytes looked at where the start of a file tells
# Seven-bit encodings look like ASCII: an escape to a double-byte set, or HZ's braces.
ISO_2022_JP, ISO_2022_KR = re.compile(rb"\x1b\$[@B(]"), re.compile(rb"\x1b\$\)C")
HZ = re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}")
WIDE_SPACES = " \n\u3000\u3001\u3002"
NO_CHARACTERS = frozenset({"Cc", "Cn", "Co", "Cs"})
ASCII = bytes(range(0x80))
FEW = 12  # bytes outside ASCII that are too few for statistics


def decode(data: bytes, declared: str | None = None) -> str:
    r"""The text of `data`, with "\n" for every line end; bytes without meaning become U+FFFD.

    `declared` is the encoding that the data itself names, as an HTML page does: believed where it
    fits and UTF-8 does not. Raises NotADocument for binary data.

    >>> decode("Grüße".encode("latin-1"))
    'Grüße'
    """
    return _one_line_end(_decode(data, declared)).replace("\0", "\ufffd")


def _decode(data: bytes, declared: str | None) -> str:
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if (text := _seven_bit(data)) is not None:
        return text
    binary = is_binary(data)
    if not binary and (text := _strict(data, "utf-8")) is not None:
        return text
    if (text := _wide(data)) is not None:
        return text
    if binary:
        raise NotADocument("it holds binary data, not text")
    if declared and (text := _strict(data, _superset(declared))) is not None:
        return text
    # Bad bytes in UTF-8 are few beside the good sequences; any other encoding forms few good ones.
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    outside_ascii = len(text) - len(text.encode("ascii", "ignore"))
    if outside_ascii >= 5 * bad:
        return text
    return _guessed(data)


def is_binary(data: bytes) -> bool:
    """Whether data holds more control characters than a text does. UTF-16 counts as binary here."""
    controls = len(data) - len(data.translate(None, CONTROLS))
    head = data[:HEAD]
    controls_at_start = len(head) - len(head.translate(None, CONTROLS))
    return controls > MOST_CONTROLS * len(data) or controls_at_start > MOST_CONTROLS * len(head)


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _superset(label: str) -> str:
    try:
        name = codecs.lookup(label.strip()).name
    except LookupError:
        return label
    return SUPERSETS.get(name, name)


def _seven_bit(data: bytes) -> str | None:
    if not data.isascii():
        return None
    if ISO_2022_KR.search(data):
        return _strict(data, "iso2022_kr")
    if ISO_2022_JP.search(data):
        return _strict(data, "iso2022_jp_2") or _strict(data, "iso2022_jp_ext")
    if HZ.search(data):
        return _strict(data, "hz")
    return None


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: what decodes without error and reads as text.

    Byte orders are told apart by spaces and line ends, which no text of any length lacks.
    """
    if b"\0" not in data:
        return None
    best, most = None, 0
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        text = _strict(data, encoding)
        if text is None or not _reads_as_text(text[:HEAD]):
            continue
        if data.isascii() and not text.isascii():
            continue  # ASCII with NULs in it, read as Chinese
        spaces = sum(text.count(space) for space in WIDE_SPACES)
        if spaces > most:
            best, most = text, spaces
    return best


def _reads_as_text(text: str) -> bool:
    strange = sum(unicodedata.category(c) in NO_CHARACTERS and c not in "\t\n\f\r" for c in text)
    return strange <= MOST_CONTROLS * len(text)


def _guessed(data: bytes) -> str:
    from chardet import detect

    # English with an accent or a quotation mark here and there says too little for statistics.
    outside_ascii = len(data.translate(None, ASCII))
    if outside_ascii < FEW and outside_ascii < len(data) / 5:
        text = _strict(data, "cp1252")
        if text is not None:
            return text
    telling = b"".join(line for line in data.splitlines(keepends=True) if not line.isascii())
    found = detect(telling or data)["encoding"] or "cp1252"
    return data.decode(_superset(found), "replace")


def _one_line_end(text: str) -> str:
    """CR LF becomes LF; so does CR in a text that knows no LF, and else CR ends no line."""
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")
