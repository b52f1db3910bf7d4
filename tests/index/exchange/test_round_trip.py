"""What is exported and imported is the same index, and nothing was encoded for it."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index import Index, exchange
from clsearch.index.check import check
from clsearch.index.exchange import FORMATS
from clsearch.index.exchange.numbers import array_text
from clsearch.index.exchange.outgoing import outgoing
from clsearch.index.exchange.records import read_vector
from clsearch.search import Searcher, filters
from words_encoder import WordsEncoder

every_format = pytest.mark.parametrize("format", FORMATS)


def content(path: Path) -> list[dict[str, Any]]:
    """Everything that an index holds but the ids of passages; vectors to the bit."""
    with outgoing(path, "jsonl", None) as (_, documents):
        found = []
        for one in documents:
            passages = []
            for passage in one.passages:
                assert passage.vector is not None
                values = asdict(passage.passage) | {"id": None, "hash": passage.hash}
                passages.append(values | {"vector": passage.vector.tobytes()})
            found.append(asdict(one.document) | {"mtime": one.mtime, "passages": passages})
        return found


def answers(path: Path, encoder: WordsEncoder) -> list[Any]:
    """What is found, with the scores by vector and by words; without the ids of passages."""
    queries = ["how to open the box", "flint", "record of iron", "screw 17", "copper"]
    found = []
    for hits in Searcher.open(path, encoder).search_many(queries, k=50):
        for hit in hits:
            said = json.loads(json.dumps(hit.to_json()))
            del said["passage"]["id"]
            found.append(said)
    return found


@every_format
def test_a_round_trip_is_the_same_index_and_encodes_nothing(
    index: Path, tmp_path: Path, encoder: WordsEncoder, format: str
) -> None:
    report = exchange.export(index, tmp_path / "out", format)
    assert (report.documents, report.passages) == (7, 15)
    assert report.bytes == sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert encoder.encoded == []
    with Index.open(tmp_path / "again", encoder=encoder) as opened:
        taken = opened.import_from(tmp_path / "out")
    assert (taken.added, taken.encoded, taken.reused) == (7, 0, 15)
    assert encoder.encoded == []
    assert content(tmp_path / "again") == content(index)
    assert check(tmp_path / "again") == ()
    with Index.open(index, encoder=encoder) as opened:  # so that both measured the same
        opened.reencode(encoder=encoder)
    assert answers(tmp_path / "again", encoder) == answers(index, encoder)


@every_format
def test_the_same_index_gives_the_same_files(index: Path, tmp_path: Path, format: str) -> None:
    for name in ("one", "two"):
        exchange.export(index, tmp_path / name, format)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


@every_format
def test_a_second_import_finds_everything_unchanged_and_with_its_source(
    index: Path, tmp_path: Path, encoder: WordsEncoder, format: str
) -> None:
    exchange.export(index, tmp_path / "out", format)
    with Index.open(index, encoder=encoder) as opened:
        assert opened.import_from(tmp_path / "out").unchanged == 7
        assert opened.sync([tmp_path / "home" / "notes"]).unchanged == 3


@every_format
def test_a_filter_exports_the_documents_that_pass(
    index: Path, tmp_path: Path, encoder: WordsEncoder, format: str
) -> None:
    condition = filters.parse("lang = 'en'")
    report = exchange.export(index, tmp_path / "out", format, condition)
    with Index.open(tmp_path / "again", encoder=encoder) as opened:
        opened.import_from(tmp_path / "out")
    chosen = [one for one in content(index) if one["id"] in ("notes/guide.md", "twice")]
    assert report.documents == 2
    assert content(tmp_path / "again") == chosen


@every_format
def test_another_encoder_takes_no_vector(index: Path, tmp_path: Path, format: str) -> None:
    """Not even one of the same length."""
    exchange.export(index, tmp_path / "out", format)
    other = WordsEncoder(seed="other")
    with Index.open(tmp_path / "again", encoder=other) as opened:
        report = opened.import_from(tmp_path / "out")
    assert report.encoded == len(other.encoded) == 15


def test_a_document_that_was_edited_is_encoded_where_its_text_changed(
    index: Path, tmp_path: Path, encoder: WordsEncoder
) -> None:
    exchange.export(index, tmp_path / "out", "jsonl")
    file = tmp_path / "out" / "documents.jsonl"
    text = file.read_text(encoding="utf-8").replace("Mind the edges", "Mind your head")
    file.write_text(text, encoding="utf-8")
    with Index.open(tmp_path / "again", encoder=encoder) as opened:
        report = opened.import_from(tmp_path / "out")
    assert (report.encoded, report.reused) == (1, 14)
    [encoded] = encoder.encoded
    assert "Mind your head" in encoded


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, -1))
from clsearch.index import exchange
from clsearch.index.errors import IndexUnwritable
try:
    exchange.export(sys.argv[1], sys.argv[2], "jsonl")
except IndexUnwritable as error:
    print(error)
"""


def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path, encoder: WordsEncoder) -> None:
    """No file may grow beyond a limit, and the copy of the database is what grows first."""
    index = tmp_path / "index"
    with Index.open(index, encoder=encoder) as opened:
        opened.add([{"id": "long", "text": "every word of this is one of many. " * 100_000}])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL, str(index), str(tmp_path / "out")]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "in the folder for temporary files ($SQLITE_TMPDIR" in ran.stdout
    assert not (tmp_path / "out").exists()


def test_a_writer_need_not_wait_for_an_export(index: Path, encoder: WordsEncoder) -> None:
    """And the export knows nothing of what it wrote meanwhile."""
    with (
        outgoing(index, "jsonl", None) as (_, documents),
        Index.open(index, encoder=encoder) as opened,
    ):
        found = [next(documents).document.id]
        opened.remove(["twice"])
        opened.optimize()
        found += [one.document.id for one in documents]
    assert "twice" in found
    assert len(found) == 7


def test_every_float16_survives_as_text() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)].astype(np.float32)
    read = np.array(json.loads(array_text(finite)), np.float64).astype(np.float16)
    assert read.astype(np.float32).tobytes() == finite.tobytes()


def test_a_vector_of_full_precision_is_rounded_once() -> None:
    """To the float16 that is nearest, ties to even, and not by way of float32."""
    tie = float(np.float16(0.6)) + 2.0**-12 + 2.0**-40
    rest = float(np.sqrt(1 - tie**2))
    [first, _] = read_vector("here", [tie, rest], 2)
    assert first == float(np.float16(0.6)) + 2.0**-11
