"""The forward pass in OpenVINO against torch, and each precision against float32."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from clsearch.index.encoder import Encoder
from clsearch.index.encoder.batches import Batch, batches
from clsearch.index.encoder.choice import PROMISED
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.openvino_bert import OpenvinoBert, _inputs, native_precisions
from clsearch.index.encoder.openvino_graph import build
from clsearch.index.encoder.pipeline import Precision
from clsearch.index.encoder.pooling import pooling_weights
from clsearch.index.encoder.quiet_openvino import openvino
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.torch_backend import TorchTransformer
from clsearch.index.encoder.weights import Weights
from clsearch.index.errors import ModelError

NewModel = Callable[..., Path]

SENTENCES = [
    "Hold the button on the back for ten seconds, and the router goes back to factory settings.",
    "The mitochondrial permeability transition pore opens in response to calcium overload.",
    "def read(path): return [json.loads(line) for line in open(path)]",
    "Über naïve cafés — 東京, Москва, ½ cup.",
    "£1,250.00 is due on 2024-02-29; see invoice #4471-B (p. 3).",
    "short",
    "Bread rises because yeast turns sugar into carbon dioxide. " * 40,
    "The Treaty of Westphalia ended the Thirty Years' War in 1648, and with it the idea that ...",
]


def all_batches(folder: Path, texts: list[str]) -> list[Batch]:
    declared = read_declaration(folder)
    tokenizer = Tokenizer(declared)
    tokens = tokenizer.encode(texts, declared.passage_length)
    return list(batches(tokens, tokenizer.pad, 100))


def assert_equal_in_both(folder: Path, texts: list[str]) -> None:
    """Every token's state by way of a mean, and the first token's, to 1e-4."""
    config, file = read_declaration(folder).config, folder / "model.safetensors"
    in_torch = TorchTransformer(folder, "cpu")
    whole = OpenvinoBert(config, file, False, "float32")
    single = OpenvinoBert(config, file, True, "float32")
    for batch in all_batches(folder, texts):
        every = np.eye(batch.ids.shape[1], dtype=np.float32)[None].repeat(len(batch.order), 0)
        hidden, _ = whole.pooled(batch, every, None)
        expected = in_torch.forward(batch)
        np.testing.assert_allclose(hidden[batch.mask], expected[batch.mask], rtol=1e-4, atol=2e-5)
        for mode, place in (("cls", 0), ("lasttoken", -1)):
            found, _ = single.pooled(batch, pooling_weights(batch.mask, (mode,)), None)
            for row, mask in enumerate(batch.mask):
                np.testing.assert_allclose(
                    found[row, 0], expected[row][mask][place], rtol=1e-4, atol=2e-5
                )


@pytest.mark.parametrize(
    "activation", ["gelu", "relu", "gelu_new", "gelu_pytorch_tanh", "silu", "swish"]
)
def test_activations(activation: str, new_model: NewModel, texts: list[str]) -> None:
    assert_equal_in_both(new_model("bert", hidden_act=activation), texts)


def test_token_types(new_model: NewModel, texts: list[str]) -> None:
    folder = new_model("bert")
    options = json.loads((folder / "tokenizer_config.json").read_text())
    options["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for piece in tokenizer["post_processor"]["single"][1:]:
        next(iter(piece.values()))["type_id"] = 1
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert any(batch.types.any() for batch in all_batches(folder, texts))
    assert_equal_in_both(folder, texts)


def test_weights_saved_with_a_head(new_model: NewModel, texts: list[str]) -> None:
    folder = new_model("bert")
    file = folder / "model.safetensors"
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert_equal_in_both(folder, texts)


@pytest.mark.parametrize("times", [1, 3000, -3000])
def test_attention_by_exponents_is_that_by_softmax(
    times: int, new_model: NewModel, texts: list[str]
) -> None:
    """In float32; and with scores beyond what e to their power can be, at least numbers."""
    folder = new_model("bert")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in tensors:
        if "attention.self.query" in name:
            tensors[name] *= times
    save_file(tensors, file, metadata={"format": "pt"})
    config, weights = read_declaration(folder).config, Weights(file)
    for batch in all_batches(folder, texts):
        exact, found = (
            openvino.Core().compile_model(
                build(config, weights, None, one_token=False, lossy=lossy),
                "CPU",
                {"INFERENCE_PRECISION_HINT": "f32"},
            )(_inputs(batch, np.zeros(len(batch.order), np.int64)))[0][:, : batch.ids.shape[1]]
            for lossy in (False, True)
        )
        assert np.isfinite(found).all()
        if times == 1:
            np.testing.assert_allclose(found[batch.mask], exact[batch.mask], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken", "cls+max+weightedmean"])
def test_each_pooling(pooling: str, new_model: NewModel, texts: list[str]) -> None:
    """Through an encoder: with more texts than NumPy takes, against torch."""
    folder = str(new_model("bert"))
    many = texts * 30
    exact = Encoder.load(folder, pooling, "cpu", "float32")
    near = Encoder.load(folder, pooling, "cpu", "bfloat16")
    expected, found = exact.encode_passages(many), near.encode_passages(many)
    assert (expected * found).sum(axis=1).min() >= PROMISED["bfloat16"]
    assert exact.declaration["engines"] == ["torch, float32"]
    assert near.declaration["engines"] == ["OpenVINO, bfloat16"]


@pytest.fixture(scope="module")
def float32() -> np.ndarray:
    return Encoder.load().encode_queries(SENTENCES)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_the_embedded_model_keeps_what_is_promised(
    precision: Precision, float32: np.ndarray
) -> None:
    """Of texts of many kinds, none of which int8 was measured on."""
    encoder = Encoder.load(device="cpu", precision=precision)
    vectors = encoder.encode_passages(SENTENCES * 10)
    assert encoder.declaration["engines"] == [f"OpenVINO, {precision}"]
    cosines = (vectors.reshape(10, *float32.shape) * float32).sum(axis=2)
    assert cosines.min() >= PROMISED[precision], cosines.min(axis=0)
    if precision in native_precisions():  # else OpenVINO computes in float32
        assert cosines.max() < 0.999999


def test_int8_is_the_same_in_every_run(float32: np.ndarray) -> None:
    first, second = (
        Encoder.load(device="cpu", precision="int8").encode_passages(SENTENCES * 10)
        for _ in range(2)
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_token_that_the_model_does_not_know(new_model: NewModel) -> None:
    folder = new_model("bert")
    config, file = read_declaration(folder).config, folder / "model.safetensors"
    (batch,) = all_batches(folder, ["a"])
    batch.ids[0, 1] = 10_000
    with pytest.raises(ModelError, match="gives token 10000"):
        OpenvinoBert(config, file, True, "float32").pooled(
            batch, pooling_weights(batch.mask, ("cls",)), None
        )


def test_a_warm_encoder_gives_the_vectors_of_a_cold_one() -> None:
    """Queries and a few passages go through OpenVINO in float32 then, and NumPy rests."""
    cold, warm = Encoder.load(), Encoder.load()
    warm.warm()
    assert isinstance(warm._quick, OpenvinoBert)
    for texts in (SENTENCES, [""], [SENTENCES[0]] * 3):
        expected = np.concatenate([cold.encode_queries(texts), cold.encode_passages(texts)])
        found = np.concatenate([warm.encode_queries(texts), warm.encode_passages(texts)])
        assert (found * expected).sum(axis=1).min() >= PROMISED["float32"]
    assert warm._numpy is None
    assert warm.fingerprint == cold.fingerprint


def test_many_queries_do_not_wait_for_torch() -> None:
    encoder, one_by_one = Encoder.load(), Encoder.load()
    texts = SENTENCES * (1 + 2048 // len(SENTENCES))
    found = encoder.encode_queries(texts)
    assert isinstance(encoder._quick, OpenvinoBert)
    assert encoder._torch is None
    expected = np.concatenate([one_by_one.encode_queries([text]) for text in SENTENCES])
    assert one_by_one._quick is None
    assert (found[: len(SENTENCES)] * expected).sum(axis=1).min() >= PROMISED["float32"]
    np.testing.assert_allclose(found[-len(SENTENCES) :], found[: len(SENTENCES)], atol=1e-5)


def test_warm_without_an_openvino_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(*_: object) -> None:
        raise RuntimeError("the plugin CPU cannot be loaded")

    monkeypatch.setattr("clsearch.index.encoder.encoder.quick", quick)
    cold, warm = Encoder.load(), Encoder.load()
    warm.warm()
    np.testing.assert_array_equal(warm.encode_queries(SENTENCES), cold.encode_queries(SENTENCES))


def test_warm_leaves_a_model_that_openvino_does_not_run_as_it_is(new_model: NewModel) -> None:
    encoder = Encoder.load(str(new_model("distilbert")))
    expected = encoder.encode_queries(["a router"])
    encoder.warm()
    assert encoder._quick is None
    np.testing.assert_array_equal(encoder.encode_queries(["a router"]), expected)
