"""Memory of a run: a batch at a time, however many documents there are."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index import Index, batch, merge, sync
from clsearch.index.files import segment_path
from clsearch.index.store import manifest, postings

WORDS = [f"word{n}" for n in range(200)]
LENGTH = 2_000  # characters of a document, about


def peak(folder: Path, encoder: Any, documents: int) -> int:
    """Bytes that Python's objects and NumPy's arrays had at most, while so many were indexed."""
    generator = np.random.default_rng(documents)
    folder.mkdir()
    with (folder / "all.jsonl").open("w") as file:
        for number in range(documents):
            text = " ".join(generator.choice(WORDS, LENGTH // 8))
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
    encode = encoder.encode_passages

    def forgetting(texts: Any) -> Any:
        found = encode(texts)
        encoder.encoded.clear()
        return found

    encoder.encode_passages = forgetting
    with Index.open(folder / "index", encoder=encoder) as index:
        tracemalloc.start()
        try:
            report = index.sync([folder / "all.jsonl"])
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert report.added == documents
    return most


def test_memory_grows_by_ids_and_not_by_texts(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a document that is committed no more is kept than what tells it from others of its file.

    That is less than half of its text. A merge has vectors or postings in memory, up to a bound of
    its own.
    """
    monkeypatch.setattr(merge, "FANOUT", 1_000)
    monkeypatch.setattr(postings, "BOUNDS", ())
    monkeypatch.setattr(batch, "PASSAGES", 50)
    monkeypatch.setattr(batch, "TOGETHER", 10)
    monkeypatch.setattr(batch, "SLICE", 25)
    monkeypatch.setattr(sync, "HELD_CHARACTERS", 25 * LENGTH)
    peak(tmp_path / "warm", encoder, 40)  # caches of words, and modules
    few = peak(tmp_path / "few", encoder, 40)
    many = peak(tmp_path / "many", encoder, 160)
    assert many - few < 120 * LENGTH / 2, (few, many)


def test_few_segments_are_open_at_once(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passages that are there already take their vectors from segments, up to a limit of bytes."""
    monkeypatch.setattr(batch, "OPENED_BYTES", 1)
    texts = [f"text {n}" for n in range(5)]
    with Index.open(tmp_path, encoder=encoder) as index:
        for number, text in enumerate(texts):
            index.add([{"id": str(number), "text": text}])
        encoder.encoded.clear()
        index.add([{"id": f"again {n}", "text": text} for n, text in enumerate(texts)])
        assert not [text for text in encoder.encoded if text in texts]
        rows = manifest.live_segments(index._store).values()
        assert all(segment_path(tmp_path, row.name).exists() for row in rows)
        assert sum(row.passages for row in rows) == 10
