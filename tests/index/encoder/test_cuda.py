"""What only a GPU can show: attention without padding, bfloat16, memory that runs out."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from clsearch import Encoder, Index, Searcher
from clsearch.index.config import EMBEDDED_MODEL, SAMPLE
from clsearch.index.encoder import torch_bert
from clsearch.index.encoder.batches import Batch, batches
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.pooling import pooling_weights
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.torch_backend import TorchTransformer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Texts of 1 to some 250 tokens, out of order."""
    files = sorted(file for file in (SAMPLE / "documents").rglob("*") if file.is_file())
    words = " ".join(file.read_text("utf-8") for file in files).split()
    random = np.random.default_rng(7)
    starts = random.integers(0, len(words) - 200, 500)
    sizes = random.integers(1, 200, len(starts))
    return [" ".join(words[at : at + n]) for at, n in zip(starts, sizes, strict=True)]


@pytest.fixture(scope="module")
def exact(texts: list[str]) -> np.ndarray:
    return Encoder.load(device="cpu", precision="float32").encode_passages(texts)


@pytest.fixture
def memory() -> Iterator[None]:
    """Afterwards this process may use all of the GPU's memory again."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def batch_of(texts: list[str]) -> Batch:
    declared = read_declaration(EMBEDDED_MODEL)
    tokenizer = Tokenizer(declared)
    (batch,) = batches(tokenizer.encode(texts, declared.passage_length), tokenizer.pad, 10**6)
    return batch


def test_passages_keep_their_direction_in_bfloat16(texts: list[str], exact: np.ndarray) -> None:
    vectors = Encoder.load().encode_passages(texts)
    assert (vectors * exact).sum(axis=1).min() >= 0.999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_on_a_gpu_that_is_not_the_current_one(texts: list[str], exact: np.ndarray) -> None:
    """Triton launches where it is told to, not where the tensors are."""
    vectors = Encoder.load(device="cuda:1").encode_passages(texts)
    assert torch.cuda.current_device() == 0
    assert (vectors * exact).sum(axis=1).min() >= 0.999


def test_float32_is_that_of_the_cpu(texts: list[str]) -> None:
    batch = batch_of(texts[:50])
    some, others = (
        TorchTransformer(EMBEDDED_MODEL, device, "float32").forward(batch)[batch.mask]
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(some, others, atol=1e-4)


def test_attention_without_padding_is_attention(texts: list[str]) -> None:
    """By Triton, by torch's own kernel, and with padding."""
    model = TorchTransformer(EMBEDDED_MODEL, "cuda")
    assert model.precision == "bfloat16"
    bert = model._bert
    assert bert is not None
    assert bert._attention is not None
    assert bert._varlen
    batch = batch_of(texts[:200])
    weights = pooling_weights(batch.mask, ("cls",))
    by_triton, _ = model.pooled(batch, weights, None)
    bert._attention = None
    by_torch, _ = model.pooled(batch, weights, None)
    bert._varlen = False
    padded, _ = model.pooled(batch, weights, None)
    for without in (by_triton, by_torch):
        cosines = (without * padded).sum(axis=2) / (
            np.linalg.norm(without, axis=2) * np.linalg.norm(padded, axis=2)
        )
        assert cosines.min() >= 0.9999


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("sizes", [[1], [5, 17, 130, 1], [64, 128, 65, 129], [512, 3, 2000]])
def test_attention_of_texts(size: int, sizes: list[int]) -> None:
    """Against torch in float64, text by text; with scores of up to some ten."""
    from clsearch.index.encoder import triton_kernels

    torch.manual_seed(1)
    heads = 3
    projected = 2 * torch.randn(sum(sizes), 3 * heads * size, device="cuda", dtype=torch.bfloat16)
    starts = torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int32, device="cuda")
    found = triton_kernels.attend(projected, starts, max(sizes), heads)
    expected = torch.cat(
        [
            scaled_dot_product_attention(
                *text.double().view(-1, 3, heads, size).permute(1, 2, 0, 3)
            )
            .transpose(0, 1)
            .flatten(1)
            for text in projected.split(sizes)
        ]
    )
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0.03)


def test_normalised_by_triton_as_by_torch(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors, from embedding on, no farther from the CPU's than torch's own in bfloat16."""
    batch = batch_of(texts[:200])
    weights = pooling_weights(batch.mask, ("cls",))
    exact, _ = TorchTransformer(EMBEDDED_MODEL, "cpu").pooled(batch, weights, None)
    by_triton = TorchTransformer(EMBEDDED_MODEL, "cuda")
    assert by_triton._bert is not None
    assert by_triton._bert._embedding is not None
    monkeypatch.setattr(torch_bert, "_triton_kernels", lambda *_: None)
    by_torch = TorchTransformer(EMBEDDED_MODEL, "cuda")
    assert by_torch._bert is not None
    assert by_torch._bert._embedding is None
    assert by_torch._bert._attention is None
    away = [
        np.abs(model.pooled(batch, weights, None)[0] - exact).mean()
        for model in (by_triton, by_torch)
    ]
    assert away[0] <= 1.1 * away[1]


@pytest.mark.parametrize(("rows", "width"), [(1, 24), (5, 384), (1000, 768), (70, 100), (3, 4096)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalisation(rows: int, width: int, dtype: torch.dtype) -> None:
    """Against torch, in float64; and of a sum of three rows of tables."""
    from clsearch.index.encoder import triton_kernels

    torch.manual_seed(1)
    x, weight, bias = (
        torch.randn(*shape, device="cuda", dtype=dtype)
        for shape in ((rows, width), (width,), (width,))
    )
    wide = [part.double() for part in (3 * x + 1, weight, bias)]
    expected = layer_norm(wide[0], (width,), *wide[1:], 1e-12)
    near = {"rtol": 0.01, "atol": 0.03} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    found = triton_kernels.normalise(3 * x + 1, weight, bias, 1e-12).double()
    torch.testing.assert_close(found, expected, **near)
    tables = tuple(torch.randn(n, width, device="cuda") for n in (50, 30, 2))
    places = torch.stack([torch.randint(0, len(table), (rows,)) for table in tables]).cuda()
    summed = sum(table[place] for table, place in zip(tables, places, strict=True)).double()
    expected = layer_norm(summed, (width,), *wide[1:], 1e-12)
    found = triton_kernels.embed(
        places.int(), tables, weight.float(), bias.float(), 1e-12, dtype
    ).double()
    torch.testing.assert_close(found, expected, **near)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_the_activation_is_the_declared_one(
    activation: str, tmp_path: Path, texts: list[str]
) -> None:
    """GELU is part of a product, as an approximation: no farther off than bfloat16 is by itself."""
    folder = copytree(EMBEDDED_MODEL, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
    batch = batch_of(texts[:50])
    exact, half, plain = (
        TorchTransformer(folder, device, precision).forward(batch)[batch.mask]
        for device, precision in (("cpu", "float32"), ("cuda", "bfloat16"), ("cpu", "bfloat16"))
    )
    assert np.abs(half - exact).mean() <= 1.1 * np.abs(plain - exact).mean()


def test_memory_that_runs_out_costs_no_text(
    texts: list[str], exact: np.ndarray, memory: None
) -> None:
    encoder = Encoder.load()
    encoder.encode_passages(texts[:100])
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2e8) / total)
    vectors = encoder.encode_passages(texts)
    assert encoder._torch is not None
    assert encoder._torch.batch_tokens < 65536, "what was a batch was halved"
    assert (vectors * exact).sum(axis=1).min() >= 0.999


def test_indexed_on_the_gpu_and_searched_on_the_cpu(tmp_path: Path) -> None:
    folder, question = tmp_path / "index", "how do I bake bread"
    with Index.open(folder, encoder=Encoder.load()) as index:
        index.sync([SAMPLE / "documents"])
    with Searcher.open(folder) as searcher:
        found = searcher.search(question, mode="dense")
    plain = tmp_path / "plain"
    with Index.open(plain, encoder=Encoder.load(device="cpu", precision="float32")) as index:
        index.sync([SAMPLE / "documents"])
    with Searcher.open(plain) as searcher:
        expected = searcher.search(question, mode="dense")
    assert [hit.document for hit in found[:3]] == [hit.document for hit in expected[:3]]
