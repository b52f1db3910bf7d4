"""`clsearch eval` through click: what it takes, prints, writes and refuses."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from clsearch.search.evaluate.metrics import DEFAULT
from clsearch.terminal import Status

from_docs = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "make_cli.py"))


def same_keys(given: Any, documented: Any) -> None:
    """All the way down, in order; of metrics and differences, those that were asked for."""
    if isinstance(documented, dict):
        if not any("@" in key for key in [*documented, *given]):
            assert list(given) == list(documented)
        for key in set(given) & set(documented):
            same_keys(given[key], documented[key])
    elif isinstance(documented, list):
        for one, other in zip(given, documented, strict=False):
            same_keys(one, other)


def test_one_setting(stones: Path, run: Any) -> None:
    """nDCG = (1 + 1/log2 3 + 0) / 3: the contract of the design, key for key; and in words."""
    said = json.loads(run("eval", stones, "--mode", "lexical", "--json").stdout)
    assert list(said) == list(from_docs["JSON"]["eval"])
    assert list(said["metrics"]) == [metric.name for metric in DEFAULT]
    assert (said["mode"], said["queries"], said["documents"]) == ("lexical", 3, 3)
    result = run("eval", stones, "--mode", "lexical")
    assert result.stdout == (
        "stones, test, lexical: 3 queries, 3 documents\n"
        "nDCG@10      0.5436\n"
        "Recall@100   0.6667\n"
        "MRR@10       0.5000\n"
        "MAP@100      0.5000\n"
    )
    assert result.stderr == ""


def test_several_rows(stones: Path, run: Any, tmp_path: Path) -> None:
    """Models by modes, a run file before them; as documented."""
    run("eval", stones, "--save-run", tmp_path / "before.run")
    argv = ["--run", tmp_path / "before.run", "--model", "embedded", "--model", "other"]
    argv += ["--mode", "dense", "--mode", "lexical", "--metric", "ndcg@10", "--per-query"]
    said = json.loads(run("eval", stones, *argv, "--json").stdout)
    same_keys(said, from_docs["ROWS"])
    assert [row["name"] for row in said["rows"]] == [
        "before.run",
        "dense, embedded",
        "lexical, embedded",
        "dense, other",
        "lexical, other",
    ]
    assert [list(row["metrics"]) for row in said["rows"]] == [["nDCG@10"]] * 5
    text = run("eval", stones, *argv).stdout
    assert text.startswith("stones, test: 3 queries, 3 documents\n\n")
    assert "nDCG@10, lexical, other against before.run: 0 lost, 0 won, 3 equal" in text


def test_per_query_of_one_row(stones: Path, run: Any) -> None:
    """The worst ones, as many as asked for; all of them in JSON."""
    text = run("eval", stones, "--per-query", "1").stdout
    assert text.endswith("\nnDCG@10     the lowest 1 of 3\n0.0000      copper\n")
    said = json.loads(run("eval", stones, "--per-query", "1", "--json").stdout)
    assert list(said)[:6] == list(from_docs["JSON"]["eval"])
    assert [one["query"] for one in said["per_query"]] == ["jade", "jade jade", "copper"]


def test_a_run_of_an_earlier_day(stones: Path, run: Any, tmp_path: Path) -> None:
    """Run files alone are measured without a search; the written ones equal what was asked."""
    run("eval", stones, "--mode", "dense", "--mode", "lexical", "--save-run", tmp_path / "runs")
    asked = json.loads(run("eval", stones, "--mode", "dense", "--json").stdout)["metrics"]
    argv = ["--run", tmp_path / "runs" / "dense.run", "--json"]
    said = json.loads(run("eval", stones, *argv).stdout)
    assert said["documents"] is None
    assert said["rows"][0]["metrics"] == asked
    (tmp_path / "qrels").write_text("q1 0 near 1\nq2 0 far 2\nq3 0 nowhere 1\n")
    alone = json.loads(run("eval", "--qrels", tmp_path / "qrels", *argv).stdout)
    assert alone["rows"][0]["metrics"] == asked


def test_a_file_of_ones_own(notes: Path, run: Any) -> None:
    """About the nearest index; a path that is none is said with what may be meant."""
    (notes / "own.tsv").write_text("reset\tnotes/router.md\nflour\tnotes/old bread.md\n")
    said = json.loads(run("eval", "own.tsv", "--json").stdout)
    assert (said["collection"], said["split"], said["queries"]) == ("own.tsv", None, 2)
    assert said["metrics"]["MRR@10"] == 1
    run("eval", "own.tsv", "--save-run", "own.run")
    assert "flour Q0 notes/old%20bread.md 1 " in (notes / "own.run").read_text()
    again = json.loads(run("eval", "own.tsv", "--run", "own.run", "--json").stdout)
    assert again["rows"][0]["metrics"] == said["metrics"]
    (notes / "own.tsv").write_text("reset\trouter.md\n")
    assert "there is 'notes/router.md'" in run("eval", "own.tsv", code=2).stderr


def test_trec_files(notes: Path, run: Any) -> None:
    """About the index that is named."""
    (notes / "topics").write_text("<top><num> Number: 7 <title> tides </top>")
    (notes / "qrels").write_text("7 0 notes/sky/moon.md 1\n")
    argv = ["--topics", "topics", "--qrels", "qrels", "--index", ".clsearch"]
    assert run("eval", *argv).stdout.startswith("topics, hybrid: 1 query, 3 documents\n")
    argv[-1] = "nowhere"
    assert "no index at 'nowhere'" in run("eval", *argv, code=2).stderr


def test_fail_under(stones: Path, run: Any) -> None:
    """Printed all the same; exit code 1 where a row is below, with value and bound."""
    argv = ["eval", stones, "--fail-under", "MRR@10=0.5"]
    assert run(*argv).stderr == ""
    failed = run(*argv, "--fail-under", "P@1=0.9", "--json", code=1)
    assert failed.stderr == "clsearch: P@1 of hybrid is 0.3333, below 0.9\n"
    assert json.loads(failed.stdout)["metrics"]["P@1"] == pytest.approx(1 / 3, abs=1e-6)
    assert run(*argv, "--fail-under", "P@1=0.9", code=1).stdout.startswith("stones, test, hybrid")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "name a COLLECTION"),
        (["{0}", "--topics", "t"], "name a COLLECTION"),
        (["--topics", "t"], "name a COLLECTION"),
        (["nowhere"], "there is no file 'nowhere'"),
        (["{0}", "--split", "dev"], "no split 'dev'"),
        (["{0}", "--metric", "F1"], "no metric 'F1'"),
        (["{0}", "--fail-under", "nDCG@10"], "'nDCG@10' is no bound"),
        (["{0}", "--run", "nowhere"], "the run nowhere cannot be read"),
        (["{0}", "--save-run", "no/where"], "there is no folder 'no'"),
        (["{0}", "--per-query", "0"], "0 is not in the range"),
        (["{0}", "--mode", "psychic"], "'hybrid', 'dense', 'lexical'"),
        (["{0}", "--index", "i", "--model", "a", "--model", "b"], "vectors of one model"),
    ],
)
def test_wrong_use(
    stones: Path, run: Any, cache: Path, monkeypatch: Any, argv: list[str], said: str
) -> None:
    """Found before anything is indexed."""
    monkeypatch.chdir(stones.parent)
    result = run("eval", *[one.format(stones) for one in argv], code=2)
    assert said in result.stderr
    assert result.stdout == ""
    assert not cache.exists()


def test_no_cache(stones: Path, run: Any, cache: Path) -> None:
    """Nothing stays."""
    run("eval", stones, "--no-cache")
    assert not cache.exists()


def test_a_terminal_sees_what_goes_on(stones: Path, run: Any, monkeypatch: Any) -> None:
    """Indexing is said on stderr once it is done, and only when there was something to do."""
    monkeypatch.setattr(Status, "__init__", _on(Status))
    first = run("eval", stones)
    assert "indexing stones with embedded: 1 of 3 documents" in first.stderr
    assert "indexed stones with embedded in 0 s\n" in first.stderr
    assert "index" not in run("eval", stones).stderr
    assert first.stdout.startswith("stones, test, hybrid")


def _on(status: Any) -> Any:
    made = status.__init__
    return lambda self: made(self, on=True)
