"""Token spans: code points, whole, in order, and in linear time. Many texts as few."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import tokenizers

from clsearch.index.encoder import Encoder, tokenizer
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.errors import ModelError

Models = Callable[[str], Path]
ARCHITECTURES = ("bert", "mpnet", "xlm-roberta", "modernbert")


def test_spans_are_code_points(plain_models: Models) -> None:
    encoder = Encoder.load(str(plain_models("bert")))
    text = "RED 😀 the\ud800 à😀 router"
    pieces = [text[start:end] for start, end in encoder.token_spans([text])[0]]
    assert pieces == ["RED", "😀", "the", "à😀", "router"]
    assert encoder.token_spans(["routers"])[0].tolist() == [[0, 6], [6, 7]]
    assert encoder.token_spans([""])[0].tolist() == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_spans_never_decrease_nor_leave_the_text(architecture: str, plain_models: Models) -> None:
    encoder = Encoder.load(str(plain_models(architecture)))
    text = "the router\n\n  naïve 漢字 e\u0301 😀x \u202e\x00 [SEP] </s> passage\ud800." * 20
    (spans,) = encoder.token_spans([text])
    assert len(spans) > encoder.max_length
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    pairs = itertools.pairwise(spans)
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairs)
    covered = {place for start, end in spans for place in range(start, end)}
    words = {place for place, letter in enumerate(text) if letter.isalnum()}
    assert words <= covered


def test_as_many_spans_as_tokens(plain_models: Models) -> None:
    for architecture in ARCHITECTURES:
        encoder = Encoder.load(str(plain_models(architecture)))
        text = "the router resets x"
        tokens = encoder._tokenizer.encode([text], 100)
        assert len(encoder.token_spans([text])[0]) == len(tokens.ids) - 2


def tokens_of(made: tokenizer.Tokenizer, texts: list[str]) -> dict[int, list[list[int]]]:
    """Ids and types of all texts, and the sizes of each, at several lengths."""
    tokens = {length: made.encode(texts, length) for length in (24, 7, 3)}
    return {
        length: [
            part.tolist()
            for part in (of.ids, np.zeros_like(of.ids) if of.types is None else of.types, of.sizes)
        ]
        for length, of in tokens.items()
    }


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_many_texts_give_the_tokens_of_few(
    architecture: str,
    side: str,
    plain_models: Models,
    tmp_path: Path,
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copytree(plain_models(architecture), tmp_path / "model")
    options = json.loads((folder / "tokenizer_config.json").read_text())
    options["truncation_side"] = side
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    made = tokenizer.Tokenizer(read_declaration(folder))
    texts = [*texts, "the router\ud800 resets", "how do i reset the cable " * 9]
    assert bool(made._words) == (architecture in ("bert", "mpnet"))
    by_words = tokens_of(made, texts)
    monkeypatch.setattr(made, "_words", None)
    few = tokens_of(made, texts)
    assert max(few[7][2]) == 7
    assert by_words == few
    monkeypatch.setattr(tokenizer, "_MANY", 1)
    assert tokens_of(made, texts) == few
    assert len(made.spans(["reset " * 50])[0]) >= 50, "spans are never cut"


@pytest.mark.parametrize("side", ["lstrip", "rstrip"])
def test_a_token_that_takes_the_spaces_beside_it(
    side: str, plain_models: Models, tmp_path: Path
) -> None:
    """As MPNet's `<mask>`: it is in no word, and no word is another one for having stood there."""
    folder = copytree(plain_models("bert"), tmp_path / "model")
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens([tokenizers.AddedToken("<gap>", **{side: True})])
    backend.save(str(folder / "tokenizer.json"))
    made = tokenizer.Tokenizer(read_declaration(folder))
    assert made._words
    for text in ("the router <gap> resets", "the router resets", "<gap> the", "the <gap>"):
        expected = backend.encode(text)
        assert made.encode([text], 24).ids.tolist() == expected.ids
        assert made.spans([text])[0].tolist() == [list(span) for span in expected.offsets[1:-1]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_time_grows_with_the_text_and_not_its_square(
    architecture: str, plain_models: Models
) -> None:
    encoder = Encoder.load(str(plain_models(architecture)))

    def seconds(text: str) -> float:
        """The least of three, of texts that differ in their end."""
        taken = []
        for end in "abc":
            start = time.process_time()
            encoder.token_spans([text + end])
            taken.append(time.process_time() - start)
        return min(taken)

    for unit in ("the router, reset. ", "漢字", "xyz"):
        small = seconds(unit * (10_000 // len(unit)))
        # 8 times the text: a square would take 64 times as long.
        assert seconds(unit * (80_000 // len(unit))) < 24 * small + 0.1, unit


def test_a_folder_without_a_tokenizer(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer: tokenizer\.json is missing"):
        Encoder.load(str(folder))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        Encoder.load(str(folder))


def test_a_tokenizer_of_another_model(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert", vocab_size=20)
    with pytest.raises(ModelError, match="tokenizer and weights are not of one model"):
        Encoder.load(str(folder)).encode_queries(["router"])
