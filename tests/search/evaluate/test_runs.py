"""TREC run files: there and back, and what is wrong with those of others."""

import random
from pathlib import Path

import pytest

from clsearch.index.errors import UsageError
from clsearch.search.evaluate.metrics import DEFAULT, Metric, by_places, measure, ordered
from clsearch.search.evaluate.runs import encoded, read_run, run_files, write_run

QRELS = {"q1": {"d1": 1, "d2": 2}, "how do I": {"my notes/50% a.md": 1, "b.md": 1}}


def test_a_run_as_it_is_written(tmp_path: Path) -> None:
    """Six fields, best first, scores that fall; an id with a blank is percent-encoded."""
    run = {"q1": {"d2": 0.5, "x": 0.75}, "how do I": by_places(["my notes/50% a.md", "50%.md"])}
    write_run(tmp_path / "a.run", run)
    assert (tmp_path / "a.run").read_text() == (
        "q1 Q0 x 1 0.75 clsearch\n"
        "q1 Q0 d2 2 0.5 clsearch\n"
        "how%20do%20I Q0 my%20notes/50%25%20a.md 1 2.0 clsearch\n"
        "how%20do%20I Q0 50%.md 2 1.0 clsearch\n"
    )
    assert read_run(tmp_path / "a.run", QRELS) == run


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_again_measures_the_same(tmp_path: Path, seed: int) -> None:
    """Also where scores are equal, or are so in single precision."""
    chance = random.Random(seed)
    ids = [f"doc {n}" if n % 3 else f"doc{n}" for n in range(120)]
    qrels = {f"q {n}": {id: chance.randrange(3) for id in chance.sample(ids, 9)} for n in range(8)}
    run = {
        query: {id: chance.choice([1.0, 0.5, 0.5 + 1e-12, chance.random()]) for id in ids}
        for query in list(qrels)[:7]
    }
    write_run(tmp_path / "a.run", run)
    again = read_run(tmp_path / "a.run", qrels)
    for metric in [*DEFAULT, Metric.parse("MRR"), Metric.parse("P@7")]:
        assert measure(metric, qrels, again) == measure(metric, qrels, run)
    for line, after in zip(
        *[iter((tmp_path / "a.run").read_text().splitlines())] * 2, strict=False
    ):
        if line.split()[0] == after.split()[0]:
            assert float(line.split()[4]) > float(after.split()[4])


def test_ids_of_others_are_taken_literally(tmp_path: Path) -> None:
    """A percent sign in them is one; only what is judged and has a blank is known by its code."""
    (tmp_path / "a.run").write_text("q1 Q0 a%20b 1 2 x\nq1 0 d1 9 1e1 x\n\nq9 Q0 d1 1 3 x\n")
    read = read_run(tmp_path / "a.run", QRELS)
    assert read == {"q1": {"a%20b": 2.0, "d1": 10.0}, "q9": {"d1": 3.0}}
    assert ordered(read["q1"]) == ["d1", "a%20b"]


def test_ids_are_separated_by_what_c_takes_for_a_blank(tmp_path: Path) -> None:
    """Not by a no-break space, which may be part of an id."""
    qrels = {"q": {"a\u00a0b": 1, "tab\tin it": 1}}
    write_run(tmp_path / "a.run", {"q": by_places(["a\u00a0b", "tab\tin it"])})
    assert len((tmp_path / "a.run").read_text().split("\n")[0].split(" ")) == 6
    assert list(read_run(tmp_path / "a.run", qrels)["q"]) == ["a\u00a0b", "tab\tin it"]
    assert encoded("a\u00a0b") == "a\u00a0b"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"q1 Q0 d1 1 1.0", "line 2: 'q1 Q0 d1 1 1.0' is not a line of a TREC run"),
        (b"q1 Q0 a b 1 1.0 tag", "line 2"),
        (b"q1 Q0 d2 1 high tag", "line 2: the score 'high'"),
        (b"q1 Q0 d2 1 nan tag", "line 2: the score 'nan'"),
        (b"q1 Q0 d2 1 1e39 tag", "line 2: the score '1e39'"),
        (b"q1 Q0 d1 1 1.0 tag", "line 2: 'd1' was found already for the query 'q1'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    """With its number."""
    (tmp_path / "a.run").write_bytes(b"q1 Q0 d1 1 1.0 tag\n" + line + b"\n")
    with pytest.raises(UsageError) as caught:
        read_run(tmp_path / "a.run", QRELS)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "other Q0 d1 1 1.0 tag\n"])
def test_a_run_of_another_collection(tmp_path: Path, text: str) -> None:
    """Answers none of the queries."""
    (tmp_path / "a.run").write_text(text)
    with pytest.raises(UsageError, match="none of the 2 judged queries"):
        read_run(tmp_path / "a.run", QRELS)
    with pytest.raises(UsageError, match=r"b\.run cannot be read: no such file"):
        read_run(tmp_path / "b.run", QRELS)


def test_where_runs_go(tmp_path: Path) -> None:
    """One to a file or into a folder that is there, several into a folder that is made."""
    assert run_files(tmp_path / "a.run", ["hybrid"]) == [tmp_path / "a.run"]
    assert run_files(tmp_path, ["hybrid"]) == [tmp_path / "hybrid.run"]
    made = run_files(tmp_path / "runs", ["dense, BAAI/bge", "lexical"])
    assert made == [tmp_path / "runs" / "dense-BAAI-bge.run", tmp_path / "runs" / "lexical.run"]
    assert len(set(run_files(tmp_path, ["a/b", "a b"]))) == 2
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="several runs go to a folder"):
        run_files(tmp_path / "file", ["a", "b"])
    with pytest.raises(UsageError, match="there is no folder"):
        run_files(tmp_path / "nowhere" / "a.run", ["a"])
