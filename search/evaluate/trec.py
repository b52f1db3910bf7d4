"""TREC's own files: topics (classic `<top>` blocks, or id and text with a tab) and qrels."""

import re
from pathlib import Path

from ...index.errors import UsageError
from .lines import bad_line, numbered_lines
from .metrics import Qrels

_TOPIC = re.compile(r"<top>(.*?)(?=</top>|<top>|\Z)", re.DOTALL | re.IGNORECASE)
# A field runs up to the next tag; most collections leave out its closing one.
_FIELD = re.compile(r"<(\w+)[^>]*>([^<]*)")
# What stands before a field's value: "Number: 301", "Topic: …", "Description:".
_LABELS = {"num": "Number:", "title": "Topic:", "desc": "Description:"}


def read_topics(path: Path) -> dict[str, str]:
    """Topic id -> its title, or its description where it has no title.

    UsageError where the file cannot be read, a topic has no number, or one is there twice.
    """
    lines = list(numbered_lines(path))
    text = "\n".join(line for _, line in lines)
    topics: dict[str, str] = {}
    if "<top>" in text.lower():
        for number, block in enumerate(_TOPIC.findall(text), start=1):
            fields = _fields(block)
            id, title = fields.get("num", ""), fields.get("title") or fields.get("desc", "")
            if not id or not title:
                raise UsageError(f"{path}: topic {number} has no <num>, or no <title> and <desc>")
            _put(topics, id, title, path)
        return topics
    for number, line in lines:
        id, tab, title = line.partition("\t")
        if not tab or not id.strip() or not title.strip():
            raise bad_line(path, number, line, "a topic: id, a tab, text; or <top> blocks")
        _put(topics, id.strip(), title.strip(), path)
    return topics


def read_qrels(path: Path) -> Qrels:
    """Query id -> document id -> relevance, of lines `query 0 document relevance`.

    UsageError where the file cannot be read or holds none, a line is no judgment, or a document is
    judged twice.
    """
    qrels: Qrels = {}
    for number, line in numbered_lines(path):
        fields = line.split()
        try:
            query, _, document, relevance = fields
            judged = int(relevance)
        except ValueError as error:
            expected = "a judgment: query 0 document relevance, a whole number"
            raise bad_line(path, number, line, expected) from error
        if document in qrels.setdefault(query, {}):
            raise bad_line(path, number, line, f"the first judgment of {document!r} for {query!r}")
        qrels[query][document] = judged
    if not qrels:
        raise UsageError(f"{path} holds no judgments: there is nothing to evaluate")
    return qrels


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for tag, value in _FIELD.findall(block):
        name = tag.lower()
        plain = " ".join(value.split()).removeprefix(_LABELS.get(name, "")).strip()
        fields.setdefault(name, plain)
    return fields


def _put(topics: dict[str, str], id: str, title: str, path: Path) -> None:
    if id in topics:
        raise UsageError(f"{path}: topic {id!r} is there twice")
    topics[id] = title
