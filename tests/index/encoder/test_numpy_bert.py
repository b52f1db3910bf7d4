"""The NumPy forward pass against torch, and that a query needs nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clsearch.index.encoder import Encoder
from clsearch.index.encoder.batches import batches
from clsearch.index.encoder.bert_family import is_bert
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.numpy_bert import NumpyBert
from clsearch.index.encoder.pooling import MODES
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.torch_backend import TorchTransformer

NewModel = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("no_kernels")


def assert_equal_in_both(folder: Path, texts: list[str]) -> None:
    declared = read_declaration(folder)
    file = folder / "model.safetensors"
    assert is_bert(declared.config, [file])
    tokenizer = Tokenizer(declared)
    in_numpy, in_torch = NumpyBert(declared.config, file), TorchTransformer(folder, "cpu")
    for batch in batches(tokenizer.encode(texts, declared.passage_length), tokenizer.pad, 100):
        ours, theirs = in_numpy.forward(batch), in_torch.forward(batch)
        np.testing.assert_allclose(ours[batch.mask], theirs[batch.mask], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    "activation", ["gelu", "relu", "gelu_new", "gelu_pytorch_tanh", "silu", "swish"]
)
def test_activations(activation: str, new_model: NewModel, texts: list[str]) -> None:
    assert_equal_in_both(new_model("bert", hidden_act=activation), texts)


@pytest.mark.parametrize("family", ["bert", "camembert", "distilbert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("headed", [False, True])
def test_families(family: str, headed: bool, new_model: NewModel, texts: list[str]) -> None:
    """BERT and those that differ in names and in how positions count; also below a head's name."""
    model = "xlm-roberta" if family in ("camembert", "roberta") else family
    folder = new_model(model)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": family}))
    if headed:
        prefix = "roberta." if model == "xlm-roberta" else f"{family}."
        file = folder / "model.safetensors"
        tensors = {prefix + name: tensor for name, tensor in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    assert_equal_in_both(folder, [*texts, "the <pad> network [PAD] cable"])


@pytest.mark.parametrize("pooling", [*MODES, "cls+mean", "cls+max", "max+lasttoken"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "xlm-roberta"])
def test_poolings(
    pooling: str, family: str, new_model: NewModel, texts: list[str], monkeypatch: Any
) -> None:
    """Of a query in NumPy as of many texts in torch; one token alone, where that is the vector."""
    folder = str(new_model(family))
    ours = Encoder.load(folder, pooling).encode_queries(texts)
    monkeypatch.setattr(NumpyBert, "most_tokens", -1)
    theirs = Encoder.load(folder, pooling).encode_queries(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_last_layer_for_one_token_alone(new_model: NewModel, texts: list[str]) -> None:
    """Wherever it stands, and whatever its weight."""
    folder = new_model("bert")
    declared = read_declaration(folder)
    tokenizer = Tokenizer(declared)
    model = NumpyBert(declared.config, folder / "model.safetensors")
    [batch] = batches(tokenizer.encode(texts, 24), tokenizer.pad, 1000)
    rows, width = batch.ids.shape
    weights = np.zeros((rows, 1, width), np.float32)
    weights[np.arange(rows), 0, np.arange(rows) % batch.mask.sum(axis=1)] = np.arange(1, rows + 1)
    alone, _ = model.pooled(batch, weights, None)
    np.testing.assert_allclose(alone, weights @ model.forward(batch), rtol=1e-4, atol=1e-5)


def test_token_types(
    new_model: NewModel, second_segment: Callable[[Path], None], texts: list[str]
) -> None:
    """A template that puts the text into the second segment changes the vectors, in both alike."""
    folder = new_model("bert")
    before = Encoder.load(str(folder)).encode_queries(texts[:1])
    second_segment(folder)
    assert_equal_in_both(folder, texts)
    assert not np.allclose(Encoder.load(str(folder)).encode_queries(texts[:1]), before, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_stored_types(dtype: torch.dtype, new_model: NewModel, texts: list[str]) -> None:
    folder = new_model("bert")
    file = folder / "model.safetensors"
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert_equal_in_both(folder, texts)


def test_weights_saved_with_a_head(new_model: NewModel, texts: list[str]) -> None:
    folder = new_model("bert")
    file = folder / "model.safetensors"
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert_equal_in_both(folder, texts)


@pytest.mark.parametrize(
    "changes",
    [{"hidden_act": "leaky_relu"}, {"is_decoder": True}],
    ids=lambda changes: str(changes),
)
def test_what_numpy_cannot_do_goes_to_torch(
    changes: dict[str, object], new_model: NewModel, texts: list[str]
) -> None:
    folder = new_model("bert", **changes)
    declared = read_declaration(folder)
    assert not is_bert(declared.config, [folder / "model.safetensors"])
    tokenizer, model = Tokenizer(declared), TorchTransformer(folder, "cpu")
    (batch,) = batches(tokenizer.encode(texts[:1], 24), tokenizer.pad, 100)
    raw = model.forward(batch)[:, 0]
    np.testing.assert_allclose(
        Encoder.load(str(folder)).encode_queries(texts[:1]),
        raw / np.linalg.norm(raw, axis=1),
        atol=1e-6,
    )


def test_little_work_in_numpy_much_in_torch(new_model: NewModel) -> None:
    encoder = Encoder.load(str(new_model("bert")), precision="float32")
    little = encoder.encode_queries(["reset the router"])
    assert encoder._torch is None
    many = encoder.encode_passages(["reset the router", *["short words"] * 900])
    assert encoder._torch is not None
    np.testing.assert_allclose(many[:1], little, atol=1e-5)


def test_a_query_imports_neither_torch_nor_transformers(new_model: NewModel) -> None:
    program = (
        "import sys; from clsearch.index.encoder import Encoder, choice; "
        "choice.kernels = lambda: None; "
        "encoder = Encoder.load(sys.argv[1]); "
        "vector = encoder.encode_queries(['how do i reset the router', '']); "
        "encoder.fingerprint, encoder.token_spans(['a b']); "
        "heavy = {'torch', 'transformers', 'scipy', 'faiss', 'huggingface_hub'}; "
        "print(vector.shape, encoder.declaration['queries'], sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(new_model("bert"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "(2, 32) numpy []\n"
    assert result.stderr == ""
