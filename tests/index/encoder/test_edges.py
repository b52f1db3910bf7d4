"""Texts that are hard on an encoder: each has a defined vector, and none is ever NaN."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from clsearch.index.encoder import Encoder
from clsearch.index.errors import ModelError

ARCHITECTURES = ("bert", "distilbert", "mpnet", "xlm-roberta", "modernbert")
HARD = {
    "empty": "",
    "white space": " \t\n\u3000 ",
    "control characters": "\x00\x01\x02\x1b\x7f\x85",
    "lone surrogates": "router \ud800 reset \udfff",
    "only surrogates": "\udc80\ud83d",
    "only unknown tokens": "ﷺ ꙮ 🜁 ﷽",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "combining marks": "a" + "\u0301" * 5000,
    "one long word": "x" * 100_000,
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def encoder(request: pytest.FixtureRequest, plain_models: Callable[[str], Path]) -> Encoder:
    """In float32 on any CPU: in bfloat16, a vector is rounded as those beside it have it."""
    return Encoder.load(str(plain_models(request.param)), precision="float32")


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_every_text_has_a_vector(encoder: Encoder, text: str) -> None:
    alone = encoder.encode_queries([text])
    assert alone.shape == (1, 32)
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(np.linalg.norm(alone), 1, atol=1e-5)
    among_others = encoder.encode_passages(["the router " * 30, text, "a", ""])
    np.testing.assert_allclose(among_others[1], alone[0], atol=1e-5)


def test_no_texts(encoder: Encoder) -> None:
    for vectors in (encoder.encode_queries([]), encoder.encode_passages([])):
        assert vectors.shape == (0, 32)
        assert vectors.dtype == np.float32


def test_the_empty_text_is_the_special_tokens_alone(plain_models: Callable[[str], Path]) -> None:
    encoder = Encoder.load(str(plain_models("bert")))
    assert encoder._tokenizer.encode([""], 24).ids.tolist() == [2, 3]
    assert encoder._tokenizer.encode([" \x00"], 24).ids.tolist() == [2, 3]


def test_a_surrogate_is_the_replacement_character(encoder: Encoder) -> None:
    np.testing.assert_array_equal(
        encoder.encode_queries(["reset \ud800 router"]),
        encoder.encode_queries(["reset \ufffd router"]),
    )


def test_100_000_words_are_cut_to_the_limit(encoder: Encoder) -> None:
    start = time.process_time()
    long = encoder.encode_queries(["the router " * 50_000])
    assert time.process_time() - start < 5
    np.testing.assert_allclose(long, encoder.encode_queries(["the router " * 30]), atol=1e-5)


def test_cut_at_the_left_where_the_tokenizer_says_so(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    options = folder / "tokenizer_config.json"
    options.write_text(options.read_text().replace("{", '{"truncation_side": "left", ', 1))
    encoder = Encoder.load(str(folder))
    np.testing.assert_allclose(
        encoder.encode_queries(["red " * 40 + "the " * 22]),
        encoder.encode_queries(["the " * 22]),
        atol=1e-6,
    )


def test_order_of_results_is_order_of_texts(encoder: Encoder) -> None:
    texts = [f"router {'the ' * (place * 7 % 19)} cable {place}" for place in range(150)]
    together = encoder.encode_passages(texts)
    for place in (0, 1, 18, 77, 149):
        np.testing.assert_allclose(
            together[place], encoder.encode_passages([texts[place]])[0], atol=1e-5
        )


def test_weights_that_are_not_numbers(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["embeddings.LayerNorm.bias"][0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"no numbers for the text 'router'.*damaged"):
        Encoder.load(str(folder)).encode_queries(["router"])


def test_no_room_for_text(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 2}')
    with pytest.raises(ModelError, match="limit of 2 tokens leaves no room"):
        Encoder.load(str(folder))


def test_room_is_what_a_passage_may_use(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    (folder / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "query: ", "document": "the passage: "}}'
    )
    encoder = Encoder.load(str(folder))
    assert encoder.max_length == 24
    assert encoder.room == 24 - 2 - len(encoder.token_spans(["the passage: "])[0]) == 19
    words = ["the"] * encoder.room
    whole = encoder.encode_passages([" ".join(words)])
    np.testing.assert_allclose(
        encoder.encode_passages([" ".join([*words, "red"])]), whole, atol=1e-6
    )
    assert not np.allclose(
        encoder.encode_passages([" ".join([*words[1:], "red"])]), whole, atol=1e-4
    )
