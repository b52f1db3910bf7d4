"""What a person reads: the table, its width, the queries that changed."""

from pathlib import Path

import pytest

from clsearch import terminal
from clsearch.index.errors import UsageError
from clsearch.search.evaluate import Evaluation, Metric, evaluate, of_trec
from clsearch.search.evaluate.bound import Bound
from clsearch.search.evaluate.report import by_query, table


@pytest.fixture
def compared(tmp_path: Path) -> Evaluation:
    """Eight queries: of `before` all are right; `after` loses all but one; `same` none."""
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 d 1\n" for n in range(8)))
    (tmp_path / "topics").write_text(
        "".join(f"q{n}\twhat is number {n} {'and ' * 30}\n" for n in range(8))
    )
    right = [f"q{n} Q0 d 1 1 x\n" for n in range(8)]
    (tmp_path / "before").write_text("".join(right))
    (tmp_path / "same").write_text("".join(right))
    (tmp_path / "after").write_text(right[0] + "".join(f"q{n} Q0 e 1 1 x\n" for n in range(1, 8)))
    collection = of_trec(tmp_path / "topics", tmp_path / "qrels", None)
    files = [tmp_path / name for name in ("before", "after", "same")]
    return evaluate(collection, [], files, [Metric.parse(name) for name in ("MRR", "P@2")])


def test_a_table(compared: Evaluation) -> None:
    """Columns stand below each other; p is 2 of 2^7, twice for two rows; 0.0312 is significant."""
    assert list(table(compared, 79)) == [
        "topics: 8 queries",
        "",
        "         MRR              P@2",
        "before   1.0000           0.5000",
        "after    0.1250           0.0625",
        "        -0.8750 p=.031*  -0.4375 p=.031*",
        "same     1.0000           0.5000",
        "        +0.0000 p=1      +0.0000 p=1",
        "",
        "Below a value: its difference to before, and p of a paired randomisation test",
        "over the queries, with Holm's correction for 2 rows; * is p < 0.05.",
    ]


@pytest.mark.parametrize("room", [30, 56, 79])
def test_no_line_is_wider_than_the_terminal(compared: Evaluation, room: int) -> None:
    """Metrics that do not fit stand below each other; every name is there in each block."""
    assert max(map(terminal.columns, table(compared, room))) <= room
    blocks = 2 if room == 30 else 1
    assert sum(line.startswith("after ") for line in table(compared, room)) == blocks


def test_queries_that_changed(compared: Evaluation) -> None:
    """The greatest losses and gains, cut to the width; nothing where nothing changed."""
    assert list(by_query(compared, 2, 40)) == [
        "",
        "MRR, after against before: 7 lost, 0 won, 1 equal",
        "lost      before   after",
        " -1.0000  1.0000  0.0000  what is numbe…",
        " -1.0000  1.0000  0.0000  what is numbe…",
        "",
        "MRR, same against before: 0 lost, 0 won, 8 equal",
    ]


def test_the_worst_of_one_row(compared: Evaluation) -> None:
    """By the first metric, lowest first."""
    alone = Evaluation(compared.collection, None, compared.rows[1:2])
    lines = list(by_query(alone, 3, 79))
    assert lines[:2] == ["", "MRR         the lowest 3 of 8"]
    assert lines[2].startswith("0.0000      what is number 1 and")
    assert len(lines) == 5
    assert list(table(alone, 79)) == [
        "topics, after: 8 queries",
        "MRR          0.1250",
        "P@2          0.0625",
    ]


def test_a_bound(compared: Evaluation) -> None:
    """Each row that is below is named with its value; the bound itself is not below."""
    assert list(Bound.parse("MRR=0.5").broken(compared.rows)) == [
        "MRR of after is 0.1250, below 0.5"
    ]
    assert list(Bound.parse("P@2 = .0625").broken(compared.rows)) == []


@pytest.mark.parametrize("text", ["MRR", "MRR=", "MRR=high", "MRR=70", "MRR=-0.1", "MRR=nan"])
def test_a_bound_that_is_none(text: str) -> None:
    """Between 0 and 1, not per cent."""
    with pytest.raises(UsageError, match="a number between 0 and 1, as in"):
        Bound.parse(text)


def test_a_star_is_for_the_corrected_p_and_wins_are_sorted(tmp_path: Path) -> None:
    """Six queries won: p is 2 of 2^6 = 0.031, for two rows 0.0625. The greatest win comes first."""
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 d 1\n" for n in range(6)))
    files = [tmp_path / name for name in ("none", "won", "too")]
    files[0].write_text("q0 Q0 e 1 1 x\n")
    for file in files[1:]:  # q0 is answered first, q1 second, …
        lines = [f"q{n} Q0 e{k} 1 {9 - k} x\n" for n in range(6) for k in range(n)]
        file.write_text("".join([*lines, *(f"q{n} Q0 d 1 1 x\n" for n in range(6))]))
    found = evaluate(of_trec(None, tmp_path / "qrels", None), [], files, [Metric.parse("MRR")])
    assert "      +0.4083 p=.062" in list(table(found, 79))
    won = [line for line in by_query(found, 3, 79) if line.startswith(" +")]
    assert won[:3] == [
        " +1.0000  0.0000  1.0000  q0",
        " +0.5000  0.0000  0.5000  q1",
        " +0.3333  0.0000  0.3333  q2",
    ]
