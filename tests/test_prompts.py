"""Prompts as a model declares them reach the encoder, in every command, end to end."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sentence_transformers import SentenceTransformer

from clsearch.cli import cli
from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.passages import encoded_text
from clsearch.search import Searcher

PROMPTS = {"query": "what answers this question: ", "document": "an old saying of sailors: "}
NOTES = {
    "router": "Hold the reset button for ten seconds.",
    "bread": "Flour, water, salt and a night in the fridge.",
    "moon": "The tides follow the moon, and the moon pulls the sea.",
}
QUESTION = "how does the sea rise"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with prompts that differ, which its vectors show."""
    folder = tmp_path_factory.mktemp("prompted")
    for source in EMBEDDED_MODEL.rglob("*"):
        if source.is_file() and source.suffix in (".json", ".safetensors"):
            target = folder / source.relative_to(EMBEDDED_MODEL)
            target.parent.mkdir(exist_ok=True)
            os.symlink(source, target)
    declared = {"prompts": PROMPTS, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(declared))
    return folder


@pytest.fixture(scope="module")
def reference(model: Path) -> SentenceTransformer:
    """sentence-transformers on the same folder."""
    return SentenceTransformer(str(model), device="cpu")


@pytest.fixture(scope="module")
def home(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three notes, indexed with that model from the command line."""
    home = tmp_path_factory.mktemp("home")
    (home / "notes").mkdir()
    for name, text in NOTES.items():
        (home / "notes" / f"{name}.txt").write_text(text)
    done = run(home, "index", str(home / "notes"), "--model", str(model))
    assert "3 documents added" in done
    return home


def run(home: Path, command: str, *argv: str, **options: Any) -> str:
    where = [] if command == "embed" else ["--index", str(home / ".clsearch")]
    result = CliRunner().invoke(cli, [command, *argv, *where], **options)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def passage_texts() -> list[str]:
    """As the encoder is given them: below the title, which is the file's name."""
    return [encoded_text(f"{name}.txt", "", text) for name, text in NOTES.items()]


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_search_and_index_use_the_prompts(
    home: Path, reference: SentenceTransformer, mode: str
) -> None:
    """Each cosine is that of sentence-transformers' encode_query and encode_document."""
    query = reference.encode_query(QUESTION)
    expected = dict(zip(NOTES, reference.encode_document(passage_texts()) @ query, strict=True))
    bare = dict(zip(NOTES, reference.encode(passage_texts()) @ query, strict=True))
    said = json.loads(run(home, "search", QUESTION, "--mode", mode, "--json"))
    found = {Path(hit["document"]).stem: hit["scores"]["dense"] for hit in said["hits"]}
    assert found == pytest.approx(expected, abs=1e-3)
    assert all(abs(expected[name] - bare[name]) > 0.01 for name in NOTES)


def test_similar_compares_passages_with_passages(
    home: Path, reference: SentenceTransformer
) -> None:
    """Both sides have the documents' prompt."""
    router, bread, moon = reference.encode_document(passage_texts())
    said = json.loads(run(home, "similar", "notes/router.txt", "--json"))
    found = {Path(hit["document"]).stem: hit["scores"]["dense"] for hit in said["hits"]}
    assert found == pytest.approx({"bread": router @ bread, "moon": router @ moon}, abs=1e-3)


def test_embed_has_both(home: Path, model: Path, reference: SentenceTransformer) -> None:
    """Passages by default, queries where it is said."""
    for flags, encode in ([], reference.encode_document), (["--query"], reference.encode_query):
        said = run(home, "embed", "-", "--model", str(model), *flags, input="the sea\n")
        assert json.loads(said) == pytest.approx(encode("the sea").tolist(), abs=1e-4)


def test_evaluation_asks_as_search_does(home: Path, tmp_path: Path) -> None:
    """The same order of documents, for a question of a file of one's own."""
    (tmp_path / "questions.tsv").write_text(f"{QUESTION}\tnotes/moon.txt\n")
    run_file = tmp_path / "found.run"
    run(
        home,
        "eval",
        str(tmp_path / "questions.tsv"),
        "--mode",
        "dense",
        "--save-run",
        str(run_file),
    )
    ranked = [line.split()[2] for line in run_file.read_text().splitlines()]
    hits = Searcher.open(home / ".clsearch").search(QUESTION, mode="dense")
    assert ranked == [hit.document for hit in hits]


def test_status_shows_them(home: Path) -> None:
    """As they were when the index was made."""
    said = run(home, "status")
    assert "query 'what answers this question: ', document 'an old saying of sailors: '" in said
    assert json.loads(run(home, "status", "--json"))["prompts"] == PROMPTS


def test_the_cosines_tell(reference: SentenceTransformer) -> None:
    """Else every test here could pass with no prompt at all."""
    plain, prompted = reference.encode(["the sea"]), reference.encode_query(["the sea"])
    assert float(np.sum(plain * prompted)) < 0.95
