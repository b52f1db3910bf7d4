"""No declaration: `last_hidden_state[:, 0]`, value by value as plain transformers gives it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from clsearch.index.encoder import Encoder
from clsearch.index.encoder.batches import Tokens, batches
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.torch_backend import TorchTransformer

ARCHITECTURES = ("bert", "distilbert", "mpnet", "xlm-roberta", "modernbert")
Models = Callable[[str], Path]


def plain_cls(folder: Path, texts: list[str]) -> np.ndarray:
    """[CLS] of each text alone, with nothing but transformers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    rows = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, truncation=True, return_tensors="pt")
            rows.append(model(**inputs).last_hidden_state[:, 0])
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.usefixtures("only_torch")
def test_cls_of_every_architecture(
    architecture: str, plain_models: Models, texts: list[str]
) -> None:
    folder = plain_models(architecture)
    raw = plain_cls(folder, texts)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    encoder = Encoder.load(str(folder))
    np.testing.assert_allclose(encoder.encode_passages(texts), unit, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_queries(texts), unit, atol=1e-5)
    assert encoder.declaration["pooling"] == ["cls"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_raw_values_before_unit_length(
    architecture: str, plain_models: Models, texts: list[str]
) -> None:
    """The hidden states themselves, not only their direction, in batches with padding."""
    folder = plain_models(architecture)
    declared = read_declaration(folder)
    tokenizer, model = Tokenizer(declared), TorchTransformer(folder, "cpu")
    raw = np.empty((len(texts), 32), dtype=np.float32)
    for batch in batches(tokenizer.encode(texts, declared.passage_length), tokenizer.pad, 64):
        raw[batch.order] = model.forward(batch)[:, 0]
    np.testing.assert_allclose(raw, plain_cls(folder, texts), rtol=1e-4, atol=1e-5)


def test_token_ids_and_types_are_those_of_transformers(
    plain_models: Models, texts: list[str]
) -> None:
    for architecture in ARCHITECTURES:
        folder = plain_models(architecture)
        declared = read_declaration(folder)
        ours = Tokenizer(declared).encode(texts, declared.passage_length)
        theirs = transformers.AutoTokenizer.from_pretrained(folder)(
            texts, truncation=True, return_token_type_ids=True
        )
        expected = Tokens.of(theirs["input_ids"], theirs["token_type_ids"])
        assert ours.ids.tolist() == expected.ids.tolist(), architecture
        assert ours.sizes.tolist() == expected.sizes.tolist(), architecture
        types = expected.types if ours.types is None else ours.types
        assert expected.types is not None
        assert types.tolist() == expected.types.tolist(), architecture
        assert ours.types is not None or not expected.types.any(), architecture


def test_a_vocabulary_without_tokenizer_json(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    with_file = Encoder.load(str(folder))
    tokenizer = with_file._tokenizer._backend
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece, _ in pieces), "utf-8")
    (folder / "tokenizer.json").unlink()
    texts = ["how do i reset the router", "Über naïve CAFÉ", ""]
    np.testing.assert_allclose(
        Encoder.load(str(folder)).encode_queries(texts), with_file.encode_queries(texts), atol=1e-6
    )


def test_sharded_weights(new_model: Callable[..., Path], texts: list[str]) -> None:
    folder = new_model("bert")
    expected = Encoder.load(str(folder)).encode_passages(texts)
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert (folder / "model.safetensors.index.json").is_file()
    encoder = Encoder.load(str(folder))
    np.testing.assert_allclose(encoder.encode_passages(texts), expected, atol=1e-5)
    assert len(encoder.fingerprint) == 64


def test_a_whole_encoder_decoder_gives_its_encoder(
    new_model: Callable[..., Path], texts: list[str]
) -> None:
    folder = new_model("bert")
    config = transformers.T5Config(
        vocab_size=256, d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=4
    )
    torch.manual_seed(1)
    model = transformers.T5Model(config).eval()
    model.save_pretrained(folder)
    encoder = Encoder.load(str(folder), pooling="mean")
    with torch.inference_mode():
        ids = torch.from_numpy(encoder._tokenizer.encode([texts[0]], 24).ids[None])
        expected = model.get_encoder()(input_ids=ids).last_hidden_state.mean(dim=1).numpy()
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(encoder.encode_passages(texts[:1]), expected, atol=1e-5)
