"""Small collections, fake encoders, and a cache folder of the test's own."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click.testing
import pytest

from clsearch.cli import cli
from clsearch.index.encoder import Encoder

Judgments = Iterable[tuple[str, str, int]]
Run = Callable[..., click.testing.Result]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("CLSEARCH_INDEX", raising=False)
    return folder


@pytest.fixture(autouse=True)
def encoders(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Every model is a fake encoder, the same for the same name and pooling; by name."""
    made: dict[str, Any] = {}

    def load(model: str = "embedded", pooling: str | None = None) -> Any:
        name = f"{model} {pooling}" if pooling else model
        if name not in made:
            made[name] = type(encoder)(seed="" if name == "embedded" else name)
            made[name].name = model
        return made[name]

    monkeypatch.setattr(Encoder, "load", load)
    return made


@pytest.fixture
def write_beir(tmp_path: Path) -> Callable[..., Path]:
    """Writes a BEIR folder of documents and queries {id: text} and judgments.

    Its corpus is a minute old, so that a stamp can be taken of it.
    """

    def write(documents: Mapping[str, str], queries: Mapping[str, str], qrels: Judgments) -> Path:
        folder = tmp_path / "stones"
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
        for name, texts in (("corpus", documents), ("queries", queries)):
            lines = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
            (folder / f"{name}.jsonl").write_text("\n".join(lines))
        judged = "".join(f"{query}\t{document}\t{score}\n" for query, document, score in qrels)
        (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
        aged(folder / "corpus.jsonl", 60)
        return folder

    return write


@pytest.fixture
def stones(write_beir: Callable[..., Path]) -> Path:
    """Three documents; one query is answered first, one second, one not at all."""
    return write_beir(
        {"near": "jade jade", "far": "jade iron iron iron iron", "other": "basalt"},
        {"q1": "jade", "q2": "jade jade", "q3": "copper", "unjudged": "iron"},
        [("q1", "near", 1), ("q2", "far", 2), ("q3", "nowhere", 1)],
    )


def aged(path: Path, seconds: float) -> None:
    """Give a file an mtime so far back."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A working folder with an index of three notes, one with a blank in its name."""
    texts = {"router.md": "reset button", "old bread.md": "flour water", "sky/moon.md": "tides"}
    for name, text in texts.items():
        path = tmp_path / "home" / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path / "home")
    run("index", "notes")
    return tmp_path / "home"


@pytest.fixture
def run() -> Run:
    """Run a command; a traceback fails the test."""

    def run(*argv: object, code: int = 0) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(cli, list(map(str, argv)))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run
