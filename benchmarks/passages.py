"""Where passages are cut, by what they answer: clsearch's `split` against two common splitters.

    pip install -c constraints.txt '.[bench]'
    python benchmarks/passages.py CHUNKING

CHUNKING holds `corpora/NAME.md` and `questions.jsonl`, a line `{"text": question, "corpus": NAME,
"spans": [{"start_index", "end_index"}]}` in code points: the questions and the spans that answer
them of the chunking evaluation by Smith and Troynikov (Chroma, 2024), whose measures these are. All
corpora are cut and encoded by the embedded model, and each question gets its k = 5 nearest passages
from all of them. Of one question, with R the characters that answer it, P those of its passages
(what stands in two of them counting twice) and C the part of R that lies in them:

    recall = |C| / |R|    precision = |C| / |P|    IoU = |C| / (|P| + |R| - |C|)

The table shows means over the questions, recall with its standard error. The peers give the encoder
what they cut, clsearch what its engine would. Seconds are those of the splitting alone.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_text_splitters import RecursiveCharacterTextSplitter

from clsearch.index import readers
from clsearch.index.encoder import Encoder
from clsearch.index.passages import encoded_text, split
from clsearch.index.types import Document

TOKENS = 200  # of a passage of the peers
K = 5
Span = tuple[int, int]


@dataclass(frozen=True)
class Cut:
    """A passage of a corpus: its span, and what the encoder is given for it."""

    corpus: str
    start: int
    end: int
    encoded: str


@dataclass(frozen=True)
class Question:
    """A question, the corpus that answers it, and where."""

    text: str
    corpus: str
    spans: list[Span]


def clsearch(document: Document, encoder: Encoder) -> Iterator[tuple[int, int, str]]:
    """As the index does it."""
    for passage in split(document, encoder.token_spans, encoder.room):
        above = document.title, passage.heading
        yield passage.start, passage.end, encoded_text(*above, passage.text)


def fixed(document: Document, encoder: Encoder) -> Iterator[tuple[int, int, str]]:
    """Windows of `TOKENS` tokens, one behind the other."""
    spans = encoder.token_spans([document.text])[0]
    for first in range(0, len(spans), TOKENS):
        window = spans[first : first + TOKENS]
        start, end = window[0][0], window[-1][1]
        yield start, end, document.text[start:end]


def recursive(document: Document, encoder: Encoder) -> Iterator[tuple[int, int, str]]:
    """LangChain's splitter, with the separators of the evaluation and no overlap."""
    splitter = RecursiveCharacterTextSplitter(
        separators=["\n\n", "\n", ".", "?", "!", " ", ""],
        chunk_size=TOKENS,
        chunk_overlap=0,
        length_function=lambda text: len(encoder.token_spans([text])[0]),
        add_start_index=True,
    )
    for chunk in splitter.create_documents([document.text]):
        start, text = chunk.metadata["start_index"], chunk.page_content
        assert document.text[start : start + len(text)] == text
        yield start, start + len(text), text


SPLITTERS = {
    "clsearch": clsearch,
    f"fixed windows of {TOKENS} tokens": fixed,
    f"recursive, {TOKENS} tokens (LangChain)": recursive,
}
Splitter = Callable[[Document, Encoder], Iterator[tuple[int, int, str]]]


def read_corpora(folder: Path) -> dict[str, Document]:
    corpora = {}
    for path in sorted((folder / "corpora").glob("*.md")):
        (document,) = readers.read(path, path.name)
        assert isinstance(document, Document)
        assert document.text == path.read_bytes().decode()
        corpora[path.stem] = document
    return corpora


def read_questions(folder: Path) -> list[Question]:
    with (folder / "questions.jsonl").open() as lines:
        return [
            Question(
                r["text"], r["corpus"], [(s["start_index"], s["end_index"]) for s in r["spans"]]
            )
            for r in map(json.loads, lines)
        ]


def characters(spans: Sequence[Span]) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}


def measures(question: Question, found: Sequence[Cut]) -> tuple[float, float, float]:
    """Recall, precision and IoU of one question."""
    wanted = characters(question.spans)
    got = characters([(cut.start, cut.end) for cut in found if cut.corpus == question.corpus])
    covered = len(wanted & got)
    size = sum(cut.end - cut.start for cut in found)
    return covered / len(wanted), covered / size, covered / (size + len(wanted) - covered)


def evaluate(
    splitter: Splitter, corpora: dict[str, Document], questions: list[Question], encoder: Encoder
) -> str:
    """A line of the table."""
    start = time.perf_counter()
    cuts = [
        Cut(name, *cut) for name, document in corpora.items() for cut in splitter(document, encoder)
    ]
    seconds = time.perf_counter() - start
    texts = [corpora[cut.corpus].text[cut.start : cut.end] for cut in cuts]
    tokens = np.mean([*map(len, encoder.token_spans(texts))])
    vectors = encoder.encode_passages([cut.encoded for cut in cuts])
    scores = encoder.encode_queries([question.text for question in questions]) @ vectors.T
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    values = np.array(
        [
            measures(question, [cuts[i] for i in row])
            for question, row in zip(questions, nearest, strict=True)
        ]
    )
    recall, precision, iou = 100 * values.mean(axis=0)
    error = 100 * values[:, 0].std(ddof=1) / len(values) ** 0.5
    return (
        f"{len(cuts):>8} {tokens:>6.0f} {recall:>8.1f} ± {error:.1f} {precision:>11.2f} "
        f"{iou:>6.2f} {seconds:>7.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    corpora, questions = read_corpora(arguments.folder), read_questions(arguments.folder)
    encoder = Encoder.load()
    print(f"{len(corpora)} documents, {len(questions)} questions, k = {K}, %")
    print(f"{'splitter':<36} passages tokens     recall   precision    IoU seconds")
    for name, splitter in SPLITTERS.items():
        print(f"{name:<36} {evaluate(splitter, corpora, questions, encoder)}", flush=True)


if __name__ == "__main__":
    main()
