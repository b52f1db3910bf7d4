"""Kept indexes: used again, brought up to date, made anew."""

import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.config import Options
from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import Searcher
from clsearch.search.evaluate import beir
from clsearch.search.evaluate import cache as module
from clsearch.search.evaluate.cache import cache_folder, with_index
from clsearch.search.evaluate.corpus import BeirCorpus, IndexCorpus

TEXTS = {"a": "jade", "b": "iron", "c": "flint"}
Keep = Callable[..., dict[str, str]]


def held(index: Path) -> dict[str, str]:
    """The documents of an index; each is found by its text."""
    with Snapshot.open(index) as snapshot:
        documents = [snapshot.document(id) for id in snapshot.document_ids()]
    texts = {document.id: document.text for document in documents if document}
    searcher = Searcher.open(index)
    for id, text in texts.items():
        assert searcher.rank_documents([text], 1, "dense") == [[id]]
        assert searcher.rank_documents([text], 1, "lexical") == [[id]]
    return texts


@pytest.fixture
def corpus(write_beir: Callable[..., Path]) -> BeirCorpus:
    """Of TEXTS."""
    return BeirCorpus(write_beir(TEXTS, {}, []))


@pytest.fixture
def keep(corpus: BeirCorpus) -> Keep:
    """What the kept index of the corpus holds, with a model."""
    return lambda model="embedded": with_index(corpus, Options(model), cache_folder(), held)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on, whoever reads the corpus fails."""

    def read(_: object) -> Any:
        raise AssertionError("the corpus is read")

    return lambda: monkeypatch.setattr(beir, "read_corpus", read)


def test_it_is_made_once(
    keep: Keep, cache: Path, encoders: dict[str, Any], unread: Callable[[], None]
) -> None:
    """In a folder for its owner alone; then neither read nor encoded again."""
    assert keep() == TEXTS
    (folder,) = (cache / "clsearch" / "eval").iterdir()
    assert folder.name.startswith("stones-")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    encoders["embedded"].encoded.clear()
    unread()
    assert keep() == TEXTS
    assert encoders["embedded"].encoded == []


def test_each_model_has_its_own(keep: Keep, cache: Path, encoders: dict[str, Any]) -> None:
    """Side by side."""
    assert keep() == keep("other") == TEXTS
    assert encoders["other"].encoded == [*TEXTS.values()]
    assert len(list((cache / "clsearch" / "eval").iterdir())) == 2


def test_what_changed_is_encoded_and_what_is_gone_leaves(
    keep: Keep, write_beir: Callable[..., Path], encoders: dict[str, Any]
) -> None:
    """No more than that."""
    keep()
    encoders["embedded"].encoded.clear()
    write_beir({"a": "jade", "b": "copper", "d": "amber"}, {}, [])
    assert keep() == {"a": "jade", "b": "copper", "d": "amber"}
    assert encoders["embedded"].encoded == ["copper", "amber"]


def test_a_corpus_that_has_just_changed_is_read_again(keep: Keep, corpus: BeirCorpus) -> None:
    """Within the grain of the clock, another content can have the same size and time."""
    file = corpus.path / "corpus.jsonl"
    now = time.time_ns()
    os.utime(file, ns=(now, now))
    assert keep() == TEXTS
    file.write_text(file.read_text().replace("flint", "amber"))
    os.utime(file, ns=(now, now))
    assert keep() == TEXTS | {"c": "amber"}


def test_a_corpus_that_changes_while_it_is_read_is_read_again(
    keep: Keep, write_beir: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp of before says nothing of it."""
    real = beir.read_corpus

    def read(collection: Path) -> Any:
        yield from list(real(collection))
        write_beir({"a": "copper"}, {}, [])

    with monkeypatch.context() as patch:
        patch.setattr(beir, "read_corpus", read)
        keep()
    assert keep() == {"a": "copper"}


def test_another_encoder_or_another_clsearch_makes_it_anew(
    keep: Keep, encoders: dict[str, Any], encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model folder that was trained on; code that cuts passages elsewhere."""
    keep()
    encoders["embedded"] = type(encoder)(seed="trained on")
    encoders["embedded"].name = "embedded"
    assert keep() == TEXTS
    assert encoders["embedded"].encoded == [*TEXTS.values()]
    monkeypatch.setattr(module, "_version", lambda: "another")
    assert keep() == TEXTS
    assert encoders["embedded"].encoded == [*TEXTS.values()] * 2


@pytest.mark.parametrize(
    "pattern", ["index/index.db", "index/vectors/*.faiss", "stamp.json", "index"]
)
def test_damage_is_made_good(keep: Keep, cache: Path, pattern: str) -> None:
    """Overwritten, cut or gone; a damaged segment shows only when it is searched."""
    for damage in (_overwrite, _empty, _remove):
        keep()
        (path,) = cache.glob(f"clsearch/eval/*/{pattern}")
        if path.is_file() or damage is _remove:
            damage(path)
        assert keep() == TEXTS


def test_an_interrupted_run_goes_on(
    keep: Keep, encoders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is not encoded again."""
    monkeypatch.setattr("clsearch.index.batch.DOCUMENTS", 1)
    real = beir.read_corpus

    def interrupted(collection: Path) -> Any:
        yield from list(real(collection))[:2]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(beir, "read_corpus", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keep()
    assert keep() == TEXTS
    assert encoders["embedded"].encoded == [*TEXTS.values()]


def test_two_evaluations_at_once(keep: Keep, cache: Path) -> None:
    """One that makes it waits for one that searches it; two may search it."""
    keep()
    (lock,) = cache.glob("clsearch/eval/*/lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        done: list[dict[str, str]] = []
        thread = threading.Thread(target=lambda: done.append(keep()), daemon=True)
        thread.start()
        thread.join(0.2)
        assert not done
        fcntl.flock(file, fcntl.LOCK_UN)
        thread.join(20)
        assert done == [TEXTS]


def test_the_documents_of_an_index_with_another_model(notes: Path) -> None:
    """They are cut as in the index; what that gains or loses, the kept one does, too."""
    (notes / "notes" / "long.md").write_text(
        "# Head\n\n" + "jade iron flint. " * 60 + "\n## Below\n"
    )
    path = notes / ".clsearch"
    with Index.open(path) as index:
        index.sync([notes / "notes"])
    corpus, options = IndexCorpus(path), Options("other")
    for change in ([], ["notes/router.md"]):
        with Index.open(path) as index:
            index.remove(change)
        kept = with_index(corpus, options, cache_folder(), passages)
        assert kept == passages(path)
        assert "notes/long.md" in kept
        assert ("notes/router.md" in kept) == (not change)


def passages(index: Path) -> dict[str, Any]:
    """Document id -> itself and its passages, but for their ids."""
    with Snapshot.open(index) as snapshot:
        return {
            id: (
                snapshot.document(id),
                [replace(one.passage, id=0) for one in _passages(snapshot, id)],
            )
            for id in snapshot.document_ids()
        }


def _passages(snapshot: Snapshot, id: str) -> list[Any]:
    ids = snapshot.passage_ids(id)
    found = snapshot.passages(ids)
    return [found[one] for one in ids]


def test_what_is_wrong_with_the_corpus_is_said(keep: Keep, corpus: BeirCorpus) -> None:
    """Not hidden by making it anew."""
    (corpus.path / "corpus.jsonl").write_text('{"_id": "x"}\n')
    with pytest.raises(UsageError, match=r"corpus\.jsonl, line 1"):
        keep()


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$XDG_CACHE_HOME where it is an absolute path, else ~/.cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "clsearch" / "eval"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/clsearch/eval")


def _overwrite(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
