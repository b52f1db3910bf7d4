"""Our kernels in every build, and way, that this CPU runs, against torch; what each promises."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.encoder import Encoder
from clsearch.index.encoder.batches import Batch, Tokens, batches
from clsearch.index.encoder.bert_family import is_bert
from clsearch.index.encoder.choice import PROMISED
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.kernels import BUILDS, Kernels, kernels
from clsearch.index.encoder.native_bert import NativeBert
from clsearch.index.encoder.numpy_bert import NumpyBert
from clsearch.index.encoder.pipeline import Precision
from clsearch.index.encoder.pooling import MODES, pooling_weights
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.torch_backend import TorchTransformer
from clsearch.index.errors import ModelError

NewModel = Callable[..., Path]
Floats = np.ndarray

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


def ways() -> dict[str, Kernels]:
    """Each build, by tiles and by vectors, with what else a CPU may have and without.

    As far as they run here.
    """
    found: dict[str, Kernels] = {}
    for name in BUILDS:
        built = Kernels.built_for(name)
        if built is None:
            continue
        found[name] = replace(built, tiles=False, bfloat16=False)
        if name == "avx2" and built.dot:
            found["avx2 without VNNI"] = replace(built, dot=False)
        if built.bfloat16:
            found[f"{name} bfloat16"] = replace(built, tiles=False)
        if built.tiles:
            found["tiles"] = built
    return found


WAYS = ways()
pytestmark = pytest.mark.skipif(not WAYS, reason="no kernels were built, or none for this CPU")


@pytest.fixture(params=WAYS)
def using(request: pytest.FixtureRequest) -> Kernels:
    return WAYS[request.param]


def ragged(sizes: list[int], words: int, seed: int = 0) -> Batch:
    """Texts of random tokens, but no padding's and no special ones."""
    random = np.random.default_rng(seed)
    tokens = Tokens.of([random.integers(5, words, size).tolist() for size in sizes])
    [batch] = batches(tokens, 0, 1 << 30)
    return batch


def all_batches(folder: Path, texts: list[str]) -> list[Batch]:
    declared = read_declaration(folder)
    tokenizer = Tokenizer(declared)
    tokens = tokenizer.encode(texts, declared.passage_length)
    return list(batches(tokens, tokenizer.pad, 100))


def native(folder: Path, precision: Precision, using: Kernels) -> NativeBert:
    config, file = read_declaration(folder).config, folder / "model.safetensors"
    assert is_bert(config, [file])
    return NativeBert(config, file, precision, using)


def assert_equal_in_both(folder: Path, made: list[Batch], using: Kernels) -> None:
    """Every token's state, and one of each text alone, to 1e-4; the same with panels ready."""
    ours, theirs = native(folder, "float32", using), TorchTransformer(folder, "cpu", "float32")
    config, file = read_declaration(folder).config, folder / "model.safetensors"
    ready = NativeBert(config, file, "float32", using, ready=True)
    for batch in made:
        expected = theirs.forward(batch)
        np.testing.assert_allclose(ready.forward(batch), ours.forward(batch), rtol=1e-5, atol=1e-5)
        found = ours.forward(batch)
        np.testing.assert_allclose(found[batch.mask], expected[batch.mask], rtol=1e-4, atol=5e-5)
        assert not found[~batch.mask].any()
        for mode in ("cls", "lasttoken"):
            weights = pooling_weights(batch.mask, (mode,))
            alone, _ = ours.pooled(batch, weights, None)
            np.testing.assert_allclose(alone, weights @ expected, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize(
    "activation", ["gelu", "relu", "gelu_new", "gelu_pytorch_tanh", "silu", "swish"]
)
def test_activations(
    activation: str, using: Kernels, new_model: NewModel, texts: list[str]
) -> None:
    folder = new_model("bert", hidden_act=activation)
    assert_equal_in_both(folder, all_batches(folder, texts), using)


@pytest.mark.parametrize("family", ["bert", "camembert", "distilbert", "roberta", "xlm-roberta"])
def test_families(family: str, using: Kernels, new_model: NewModel, texts: list[str]) -> None:
    folder = new_model("xlm-roberta" if family in ("camembert", "roberta") else family)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": family}))
    texts = [*texts, "the <pad> network [PAD] cable"]
    assert_equal_in_both(folder, all_batches(folder, texts), using)


@pytest.mark.parametrize(
    ("size", "heads", "inner"),
    [
        (40, 5, 37),
        (64, 1, 16),
        (96, 2, 200),
        (128, 2, 448),
        (18, 3, 1),
        (272, 4, 130),
        (192, 6, 40),
    ],
)
def test_sizes(size: int, heads: int, inner: int, using: Kernels, new_model: NewModel) -> None:
    """Of models that no panel divides, and of texts at the edges of blocks and groups."""
    folder = new_model(
        "bert",
        hidden_size=size,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=300,
    )
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name, tensor in tensors.items():  # else scores are so large that the last bits tell
        if tensor.ndim == 2 and "embeddings" not in name:
            tensor *= tensor.shape[1] ** -0.5
    save_file(tensors, file, metadata={"format": "pt"})
    sizes = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 300]
    assert_equal_in_both(folder, [ragged(sizes, 60), ragged([1], 60), ragged([33], 60)], using)


def test_token_types(
    using: Kernels,
    new_model: NewModel,
    second_segment: Callable[[Path], None],
    texts: list[str],
) -> None:
    folder = new_model("bert")
    second_segment(folder)
    made = all_batches(folder, texts)
    assert any(batch.types.any() for batch in made)
    assert_equal_in_both(folder, made, using)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("size", [32, 40, 64])
def test_stored_types(
    dtype: torch.dtype, size: int, using: Kernels, new_model: NewModel, texts: list[str]
) -> None:
    folder = new_model("bert", hidden_size=size)
    file = folder / "model.safetensors"
    tensors = {f"bert.{name}": tensor.to(dtype) for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert_equal_in_both(folder, all_batches(folder, texts), using)


@pytest.mark.parametrize(
    ("size", "times"), [(32, 0), (32, 100), (32, -100), (64, 0), (64, 20), (64, -20)]
)
def test_scores_as_large_as_can_be(
    size: int, times: int, using: Kernels, new_model: NewModel
) -> None:
    """All the same, or so far apart that one token has all the attention."""
    folder = new_model("bert", hidden_size=size, max_position_embeddings=100)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in tensors:
        if "attention.self.query" in name:
            tensors[name] *= times
    save_file(tensors, file, metadata={"format": "pt"})
    batch = ragged([100, 50, 3], 60)
    expected = TorchTransformer(folder, "cpu", "float32").forward(batch)
    first = pooling_weights(batch.mask, ("cls",))
    for precision in precisions_of(using):
        model = native(folder, precision, using)
        found, alone = model.forward(batch), model.pooled(batch, first, None)[0][:, 0]
        assert np.isfinite(found).all()
        assert np.isfinite(alone).all()
        if precision == "float32":
            np.testing.assert_allclose(found[batch.mask], expected[batch.mask], 1e-3, 1e-3)
            np.testing.assert_allclose(alone, expected[:, 0], 1e-3, 1e-3)


def precisions_of(using: Kernels) -> list[Precision]:
    there: dict[Precision, bool] = {"float32": True, "bfloat16": using.bfloat16, "int8": using.int8}
    return [precision for precision in there if there[precision]]


class Rounding(NumpyBert):
    """NumPy, with what the products take in another precision."""

    precision: Precision = "int8"


def rounded(precision: Precision, values: Floats, most: int = 127) -> Floats:
    """Numbers in bfloat16, or in int8, up to `most`, with a scale for each row."""
    if precision == "bfloat16":
        return torch.from_numpy(np.array(values)).bfloat16().float().numpy()
    scale = np.abs(values).max(axis=1, keepdims=True) / most
    scale[scale == 0] = 1
    return (np.round(values / scale) * scale).astype(np.float32)


def test_each_precision_is_what_it_is_said_to_be(
    using: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Next to the same in NumPy, from which float32 is far.

    Of one layer, for those after it make as much of the last bit of a number as of its precision;
    and with attention in float32.
    """
    config = {**read_declaration(EMBEDDED_MODEL).config, "num_hidden_layers": 1}
    file = EMBEDDED_MODEL / "model.safetensors"
    batch = ragged([40, 7, 64, 1], 20000)
    exact = NumpyBert(config, file).forward(batch)[batch.mask]
    for precision in precisions_of(using)[1:]:

        def linear(
            values: Floats, pair: tuple[Floats, Floats], precision: Precision = precision
        ) -> Floats:
            weight, bias = pair
            most = 127 if using.dot else 63
            return rounded(precision, values) @ rounded(precision, weight, most).T + bias

        monkeypatch.setattr("clsearch.index.encoder.numpy_bert._linear", linear)
        expected = NumpyBert(config, file).forward(batch)[batch.mask]
        monkeypatch.undo()
        model = NativeBert(config, file, precision, using)
        model._model.bfloat16 = 0
        found = model.forward(batch)[batch.mask]
        apart = np.abs(expected - exact).mean()
        assert apart > 1e-4, "it is another precision"
        # What bfloat16 changes is so little that GELU's approximation shows beside it.
        near = 0.1 if precision == "int8" else 0.3
        assert np.abs(found - expected).mean() < near * apart, precision


@pytest.mark.parametrize("sign", [1, -1])
def test_int8_holds_the_largest_sums(sign: int, using: Kernels, new_model: NewModel) -> None:
    """Of ones, that is of the largest numbers there are, on both sides of the last products."""
    if not using.int8:
        pytest.skip("not by this CPU")
    folder = new_model(
        "bert", hidden_act="relu", num_hidden_layers=1, hidden_size=32, intermediate_size=64
    )
    file = folder / "model.safetensors"
    tensors = load_file(file)
    given = {  # by the ends of names; everything before the feed-forward network gives ones
        "LayerNorm.weight": 0.0,
        "LayerNorm.bias": 1.0,
        "attention.output.dense.weight": 0.0,
        "attention.output.dense.bias": 0.0,
        "intermediate.dense.weight": 1 / 32,
        "intermediate.dense.bias": 0.0,
        "layer.0.output.dense.weight": sign / 64,
        "layer.0.output.dense.bias": torch.arange(32) / 32 * (-1) ** torch.arange(32),
        "layer.0.output.LayerNorm.weight": 1.0,
        "layer.0.output.LayerNorm.bias": 0.0,
    }
    for ending, value in given.items():
        for name in [name for name in tensors if name.endswith(ending)]:
            tensors[name] = torch.zeros_like(tensors[name]) + value
    tensors["encoder.layer.0.output.dense.weight"][::3] /= 2
    save_file(tensors, file, metadata={"format": "pt"})
    batch = ragged([5], 60)
    expected = TorchTransformer(folder, "cpu", "float32").forward(batch)
    assert expected.std() > 0.5
    found = native(folder, "int8", using).forward(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_the_embedded_model_keeps_what_is_promised(precision: Precision, using: Kernels) -> None:
    """Of texts of many kinds."""
    if precision not in precisions_of(using):
        pytest.skip("not by this CPU in this way")
    [batch] = batches(Tokenizer(read_declaration(EMBEDDED_MODEL)).encode(SENTENCES, 256), 0, 9999)
    weights = pooling_weights(batch.mask, ("cls",))
    (exact, _), (found, _) = (
        native(EMBEDDED_MODEL, kind, using).pooled(batch, weights, None)
        for kind in ("float32", precision)
    )
    lengths = np.linalg.norm(exact, axis=2) * np.linalg.norm(found, axis=2)
    cosines = (exact * found).sum(axis=2) / lengths
    assert cosines.min() >= PROMISED[precision], cosines
    assert cosines.max() < 0.999999


def test_no_text_changes_another(using: Kernels) -> None:
    """To the last bit, whatever stands beside it, in what order, and however many there are."""
    sizes = [200, 130, 64, 33, 32, 31, 9, 2, 1]
    together = ragged(sizes, 20000)
    order = np.array([8, 0, 7, 3, 2, 6, 5, 1, 4])  # short ones between long ones
    mixed = Batch(order, together.ids[order], together.types[order], together.mask[order])
    for precision in precisions_of(using):
        model = native(EMBEDDED_MODEL, precision, using)
        expected, _ = model.pooled(together, pooling_weights(together.mask, ("cls",)), None)
        found, _ = model.pooled(mixed, pooling_weights(mixed.mask, ("cls",)), None)
        np.testing.assert_array_equal(found, expected[order], precision)
        for row, size in enumerate(sizes):
            alone = Batch(
                np.zeros(1, np.int64),
                together.ids[row : row + 1, :size],
                together.types[row : row + 1, :size],
                together.mask[row : row + 1, :size],
            )
            found, _ = model.pooled(alone, pooling_weights(alone.mask, ("cls",)), None)
            np.testing.assert_array_equal(found[0], expected[row], str((precision, size)))


@pytest.mark.parametrize("pooling", [*MODES, "cls+max+weightedmean"])
def test_each_pooling(pooling: str, new_model: NewModel, texts: list[str]) -> None:
    """Through an encoder, against torch."""
    folder = new_model("bert")
    encoder = Encoder.load(str(folder), pooling, precision="float32")
    found = encoder.encode_passages(texts * 30)
    assert encoder.declaration["engines"] == ["native, float32"]
    assert encoder.declaration["queries"] == "native"
    assert encoder._torch is None
    np.testing.assert_array_equal(encoder.encode_queries(texts), found[: len(texts)])
    theirs = TorchTransformer(folder, "cpu", "float32")
    encoder._backend = lambda tokens: theirs  # type: ignore[method-assign]
    np.testing.assert_allclose(found[: len(texts)], encoder.encode_passages(texts), atol=1e-5)


@pytest.mark.parametrize(("size", "heads"), [(40, 5), (64, 2), (18, 3)])
def test_what_memory_held_before_reaches_no_vector(
    size: int, heads: int, using: Kernels, new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of which each four are no number."""
    folder = new_model(
        "bert", hidden_size=size, num_attention_heads=heads, max_position_embeddings=100
    )
    batch = ragged([70, 33, 16, 1], 60)
    weights = pooling_weights(batch.mask, ("lasttoken",))
    for precision in precisions_of(using):
        model = native(folder, precision, using)
        needed = model._library.room(model._model, int(batch.mask.sum()), 70) + 64
        found = []
        for byte in (0, 0xFF):
            memory = np.full(needed, byte, np.uint8)
            monkeypatch.setattr(model, "_room", lambda *_, memory=memory: memory)
            found.append(model.pooled(batch, weights, None)[0])
            memory[:] = byte
            found.append(model.forward(batch))
        assert np.isfinite(found[1]).all(), precision
        np.testing.assert_array_equal(found[2], found[0], precision)
        np.testing.assert_array_equal(found[3], found[1], precision)


def test_a_warm_encoder_gives_the_vectors_of_a_cold_one() -> None:
    cold, warm = Encoder.load(), Encoder.load()
    warm.warm()
    for texts in (SENTENCES, [""], [SENTENCES[0]] * 3):
        np.testing.assert_allclose(
            warm.encode_queries(texts), cold.encode_queries(texts), rtol=1e-5, atol=1e-6
        )
    assert isinstance(warm._small, NativeBert)
    assert warm._small._ready
    assert warm.fingerprint == cold.fingerprint


def test_threads_share_one(using: Kernels) -> None:
    model = native(EMBEDDED_MODEL, precisions_of(using)[-1], using)
    given = [ragged([12 + 9 * n, 5], 20000, n) for n in range(8)]
    expected = [model.forward(batch) for batch in given]
    found: dict[int, Floats] = {}

    def work(n: int) -> None:
        for _ in range(5):
            found[n] = model.forward(given[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(given))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, hidden in enumerate(expected):
        np.testing.assert_array_equal(found[n], hidden)


def test_a_token_that_the_model_does_not_know(new_model: NewModel) -> None:
    model = NativeBert(
        read_declaration(folder := new_model("bert")).config, folder / "model.safetensors"
    )
    for part, name in (("ids", "word"), ("types", "token_type")):
        (batch,) = all_batches(folder, ["a"])
        getattr(batch, part)[0, 1] = 10_000
        with pytest.raises(ModelError, match=rf"{name}_embeddings.* gives token 10000"):
            model.pooled(batch, pooling_weights(batch.mask, ("cls",)), None)
    with pytest.raises(ModelError, match="position_embeddings"):
        model.forward(ragged([41], 60))
    batch = ragged([3], 60)
    batch.ids[0, 1] = -1
    with pytest.raises(ModelError, match="gives token -1"):
        model.forward(batch)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_damaged_weights_give_no_numbers(
    activation: str, using: Kernels, new_model: NewModel
) -> None:
    """In any precision, so that they are refused."""
    folder = new_model("bert", hidden_act=activation)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in ("attention.self.value.bias", "intermediate.dense.bias"):
        damaged = {key: tensor.clone() for key, tensor in tensors.items()}
        damaged[f"encoder.layer.0.{name}"][1] = float("nan")
        save_file(damaged, file, metadata={"format": "pt"})
        for precision in precisions_of(using):
            found = native(folder, precision, using).forward(ragged([9], 60))
            assert np.isnan(found).all(), (name, precision)


def test_rows_with_a_mean_far_above_their_spread(using: Kernels, new_model: NewModel) -> None:
    """Of a width that no panel divides."""
    folder = new_model("bert", hidden_size=40)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in tensors:
        if name.startswith("embeddings.") and tensors[name].ndim == 2:
            tensors[name] *= 1e-2 if "word" in name else 0
            tensors[name] += 20.0 if "word" in name else 0
    save_file(tensors, file, metadata={"format": "pt"})
    config, batch = read_declaration(folder).config, ragged([30], 60)
    expected = NumpyBert(config, file).forward(batch)
    found = native(folder, "float32", using).forward(batch)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)


def test_the_caller_keeps_its_way_of_computing(using: Kernels) -> None:
    """What is nearly nothing is nothing inside, and no longer afterwards."""
    tiny = np.full(1000, 1e-40, np.float32)
    native(EMBEDDED_MODEL, "float32", using).forward(ragged([5], 60))
    assert (tiny * np.float32(2)).all()


def test_weights_of_another_shape_than_declared_are_torchs_to_refuse(new_model: NewModel) -> None:
    folder = new_model("bert")
    config = json.loads((folder / "config.json").read_text())
    for change in ({"hidden_size": 16}, {"num_hidden_layers": 3}, {"num_attention_heads": 5}):
        assert not is_bert({**config, **change}, [folder / "model.safetensors"])
    assert is_bert(config, [folder / "model.safetensors"])


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("objdump") is None, reason="binutils are not installed"
)
@pytest.mark.parametrize(("name", "instruction"), [("avx2", "vpdp"), ("neon", "sdot")])
def test_a_cpu_without_dot_runs_what_is_built_for_it(name: str, instruction: str) -> None:
    """Its instructions are in the one function that is called where the CPU has them.

    Compilers put them together from others wherever they may.
    """
    if name not in WAYS:
        pytest.skip("of another architecture")
    built = find_spec(f"clsearch.index.encoder.bert_{name}")
    assert built is not None
    assert built.origin is not None
    listed = subprocess.run(
        ["objdump", "--disassemble", built.origin], capture_output=True, text=True, check=True
    ).stdout
    functions = re.split(r"^[0-9a-f]+ <([^>]+)>:$", listed, flags=re.MULTILINE)[1:]
    using = {
        name.split(".")[0]
        for name, code in zip(functions[::2], functions[1::2], strict=True)
        if instruction in code
    }
    assert using == {"block_int8"}


def test_the_kernels_taken_are_the_fastest() -> None:
    taken = kernels()
    assert taken is not None
    fastest = max(WAYS.values(), key=lambda way: (way.tiles, way.bfloat16, way.dot))
    assert (taken.tiles, taken.bfloat16, taken.dot) == (
        fastest.tiles,
        fastest.bfloat16,
        fastest.dot,
    )
    assert ("avx512" in taken.library._name) == ("avx512" in WAYS)
