"""The own forward pass against transformers', token by token, and for one token of each text."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.encoder import torch_backend, torch_bert
from clsearch.index.encoder.batches import Batch, Tokens, batches
from clsearch.index.encoder.pooling import kept_tokens, pooling_weights
from clsearch.index.encoder.torch_backend import TorchTransformer

Make = Callable[..., Path]
VOCABULARY = 50
LENGTHS = (17, 9, 9, 4, 1)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """(architecture, **changes to its config) -> a folder with its config and random weights."""

    def write(architecture: str, **changes: object) -> Path:
        options: dict[str, Any] = {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 40,
            "pad_token_id": 1,
            "type_vocab_size": 2,
            **changes,
        }
        torch.manual_seed(3)
        config = transformers.AutoConfig.for_model(architecture, **options)
        model = transformers.AutoModel.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3)
        model.save_pretrained(tmp_path)
        return tmp_path

    return write


def batch_of(*lengths: int, tokens: int = VOCABULARY) -> Batch:
    """One batch, with padding where the lengths differ; among the ids are those of padding."""
    random = np.random.default_rng(5)
    ids, types = ([random.integers(0, most, n) for n in lengths] for most in (tokens, 2))
    (batch,) = batches(Tokens.of(ids, types), 1, 10_000)
    return batch


def by_transformers(folder: Path, batch: Batch) -> np.ndarray:
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        hidden = model(
            input_ids=torch.from_numpy(batch.ids),
            attention_mask=torch.from_numpy(batch.mask.astype(np.int64)),
            token_type_ids=torch.from_numpy(batch.types),
        ).last_hidden_state
    values: np.ndarray = hidden.numpy()
    return values


def one_of_each(model: TorchTransformer, batch: Batch, mode: str, prompt: int = 0) -> np.ndarray:
    weights = pooling_weights(kept_tokens(batch.mask, prompt), (mode,))
    sums, maximum = model.pooled(batch, weights, None)
    assert maximum is None
    return sums[:, 0]


def assert_same_as_transformers(folder: Path, batch: Batch) -> None:
    model, expected = TorchTransformer(folder, "cpu"), by_transformers(folder, batch)
    rows = np.arange(len(batch.order))
    last = batch.mask.sum(axis=1) - 1
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(model.forward(batch)[batch.mask], expected[batch.mask], **close)
    np.testing.assert_allclose(one_of_each(model, batch, "cls"), expected[:, 0], **close)
    np.testing.assert_allclose(
        one_of_each(model, batch, "lasttoken"), expected[rows, last], **close
    )
    # [CLS] after a prompt of two tokens, which a text of one token keeps.
    second = np.where(last >= 2, 2, 0)
    np.testing.assert_allclose(one_of_each(model, batch, "cls", 2), expected[rows, second], **close)
    mean = (expected * batch.mask[:, :, None]).sum(axis=1) / (last + 1)[:, None]
    np.testing.assert_allclose(one_of_each(model, batch, "mean"), mean, **close)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens went through the feed-forward of each layer, in order."""
    tokens: list[int] = []
    finish = torch_bert._finish

    def counted(layer: Any, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        tokens.append(len(hidden))
        return finish(layer, hidden, attended)

    monkeypatch.setattr(torch_bert, "_finish", counted)
    return tokens


@pytest.mark.parametrize("lengths", [LENGTHS, (8, 8), (1,)], ids=str)
@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta", "camembert"])
def test_equal_to_transformers(
    architecture: str, lengths: tuple[int, ...], make: Make, runs: list[int]
) -> None:
    assert_same_as_transformers(make(architecture), batch_of(*lengths))
    assert runs


def test_the_last_layer_is_computed_for_one_token_and_padding_never(
    make: Make, runs: list[int]
) -> None:
    model, batch = TorchTransformer(make("bert"), "cpu"), batch_of(*LENGTHS)
    one_of_each(model, batch, "cls")
    assert runs == [sum(LENGTHS), sum(LENGTHS), len(LENGTHS)]
    runs.clear()
    one_of_each(model, batch, "mean")
    assert runs == [sum(LENGTHS)] * 3


def test_other_activations(make: Make) -> None:
    assert_same_as_transformers(make("bert", hidden_act="gelu_new"), batch_of(*LENGTHS))


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("bert", {"is_decoder": True}), ("electra", {"embedding_size": 16}), ("ernie", {})],
)
def test_another_structure_goes_through_transformers(
    architecture: str, changes: dict[str, object], make: Make, runs: list[int]
) -> None:
    assert_same_as_transformers(make(architecture, **changes), batch_of(*LENGTHS))
    assert not runs


def test_a_layer_with_one_more_parameter_is_not_known(make: Make) -> None:
    model = transformers.AutoModel.from_pretrained(make("bert"))
    assert torch_bert.runs_in_torch_bert(model)
    model.encoder.layer[1].scale = torch.nn.Parameter(torch.ones(1))
    assert not torch_bert.runs_in_torch_bert(model)


def attention_text_by_text(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
) -> torch.Tensor:
    """What FlashAttention computes: softmax(q k / sqrt(e)) v, text by text."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert int(cu_seq_q.diff().max()) == max_q
    assert int(cu_seq_k.diff().max()) == max_k
    mixed = torch.empty_like(query)
    for text in range(len(cu_seq_q) - 1):
        asking = slice(int(cu_seq_q[text]), int(cu_seq_q[text + 1]))
        asked = slice(int(cu_seq_k[text]), int(cu_seq_k[text + 1]))
        scores = torch.einsum("qhe,khe->hqk", query[asking], key[asked]) * query.shape[2] ** -0.5
        mixed[asking] = torch.einsum("hqk,khe->qhe", scores.softmax(dim=-1), value[asked])
    return mixed


@pytest.fixture
def kernel() -> Iterator[None]:
    """FlashAttention on the CPU, below torch's own `varlen_attn`: the loop above for the kernel."""

    def flash(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **_: Any
    ) -> Any:
        mixed = attention_text_by_text(query, key, value, *rest[:4])
        state = torch.zeros(2, dtype=torch.uint64)
        return mixed, torch.zeros(query.shape[1], len(query)), state, state, torch.empty(0)

    library = torch.library.Library("aten", "IMPL")
    library.impl("_flash_attention_forward", flash, "CPU")
    yield
    library._destroy()


@pytest.mark.skipif(torch_bert.varlen_attn is None, reason="torch is too old for it")
@pytest.mark.parametrize("lengths", [LENGTHS, (8, 8), (1,)], ids=str)
@pytest.mark.usefixtures("kernel")
def test_attention_without_padding(
    lengths: tuple[int, ...], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU."""
    folder, batch = make("bert"), batch_of(*lengths)
    assert torch_bert.runs_varlen(4, 8, torch.float32, torch.device("cpu"))
    model = TorchTransformer(folder, "cpu")
    assert model._bert is not None
    assert model._bert._varlen
    monkeypatch.setattr(torch_bert, "runs_varlen", lambda *_: True)
    monkeypatch.delattr(torch_bert, "scaled_dot_product_attention")
    assert_same_as_transformers(folder, batch)


def test_the_kernel_is_tried_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert not torch_bert.runs_varlen(4, 8, torch.bfloat16, cpu), "it has no kernel for the CPU"
    monkeypatch.setattr(torch_bert, "varlen_attn", attention_text_by_text)
    assert torch_bert.runs_varlen(4, 8, torch.bfloat16, cpu)
    monkeypatch.setattr(torch_bert, "varlen_attn", lambda query, *_: query)
    assert not torch_bert.runs_varlen(4, 8, torch.bfloat16, cpu), "it gives something else"
    monkeypatch.setattr(torch_bert, "varlen_attn", None)
    assert not torch_bert.runs_varlen(4, 8, torch.bfloat16, cpu), "torch is too old for it"


def lowest_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    dots = (ours * theirs).sum(axis=1)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((dots / norms).min())


@pytest.mark.parametrize("mode", ["cls", "mean"])
def test_bfloat16_is_near_lossless(mode: str) -> None:
    batch = batch_of(120, 60, 8, 2, tokens=30_000)
    exact = one_of_each(TorchTransformer(EMBEDDED_MODEL, "cpu"), batch, mode)
    model = TorchTransformer(EMBEDDED_MODEL, "cpu", "bfloat16")
    ours = one_of_each(model, batch, mode)
    assert ours.dtype == np.float32
    assert 0.999 <= lowest_cosine(ours, exact) < 1 - 1e-6


def test_bfloat16_of_other_architectures(make: Make) -> None:
    folder, batch = make("electra", embedding_size=16), batch_of(*LENGTHS)
    exact = one_of_each(TorchTransformer(folder, "cpu"), batch, "cls")
    ours = one_of_each(TorchTransformer(folder, "cpu", "bfloat16"), batch, "cls")
    assert ours.dtype == np.float32
    assert 0.999 <= lowest_cosine(ours, exact) < 1 - 1e-7


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_bfloat16_on_a_gpu_that_computes_in_it(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert torch_backend.best_precision(torch.device("cuda:0")) == expected
    assert torch_backend.best_precision(torch.device("mps")) == "float32"


def test_the_other_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, expected in ((0, []), (1, []), (3, ["cuda:1", "cuda:2"])):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert torch_backend.other_gpus() == expected


def test_float32_on_the_cpu_unless_asked(make: Make) -> None:
    folder = make("bert")
    assert TorchTransformer(folder, "cpu").precision == "float32"
    assert TorchTransformer(folder, "cpu", "bfloat16").precision == "bfloat16"


@pytest.mark.parametrize(("size", "tokens"), [(384, 8192), (768, 4096), (1024, 4096)])
def test_batches_of_bfloat16_on_a_cpu(make: Make, size: int, tokens: int) -> None:
    """As large as a power of two may be whose largest tensor stays within 32 MB."""
    folder = make("bert", hidden_size=size, intermediate_size=4 * size, num_hidden_layers=1)
    assert TorchTransformer(folder, "cpu", "bfloat16").batch_tokens == tokens
    assert tokens * 4 * size * 2 <= 32 << 20 < 2 * tokens * 4 * size * 2
    assert TorchTransformer(folder, "cpu", "float32").batch_tokens == 2048
