"""Which engine encodes passages, by what there is and by what keeps the promise."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clsearch.index.encoder import Encoder, choice
from clsearch.index.encoder.kernels import kernels
from clsearch.index.encoder.native_bert import precisions
from clsearch.index.encoder.pipeline import Backend

NewModel = Callable[..., Path]
MANY = ["reset the router", *["short words in the network"] * 900]

native = pytest.mark.skipif(kernels() is None, reason="no kernels for this CPU")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_GPU_DEVICES", ())


def engines(encoder: Encoder) -> object:
    encoder.encode_passages(MANY)
    return encoder.declaration["engines"]


@pytest.mark.parametrize("name", [pytest.param("native", marks=native), "NumPy"])
def test_few_passages_and_all_queries_are_exact(
    name: str, new_model: NewModel, request: pytest.FixtureRequest
) -> None:
    if name == "NumPy":
        request.getfixturevalue("no_kernels")
    encoder = Encoder.load(str(new_model()), device="cpu")
    encoder.encode_passages(MANY[:3])
    assert encoder.declaration["engines"] == [f"{name}, float32"]
    assert encoder.declaration["queries"] == name.lower()
    exact = Encoder.load(encoder.name, precision="float32")
    engines(encoder)
    np.testing.assert_allclose(
        encoder.encode_queries(MANY[:1]), exact.encode_queries(MANY[:1]), atol=1e-6
    )


@native
@pytest.mark.usefixtures("no_gpu")
def test_what_keeps_no_promise_is_not_taken(
    new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "PROMISED", dict.fromkeys(choice.PROMISED, 1.1))
    assert engines(Encoder.load(str(new_model()))) == ["native, float32"]


@native
@pytest.mark.usefixtures("no_gpu")
def test_what_gives_no_number_is_not_taken(
    new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_cosines", lambda *_: np.array([1.0, np.nan], np.float32))
    assert engines(Encoder.load(str(new_model()))) == ["native, float32"]


@pytest.mark.skipif("int8" not in precisions(), reason="no kernels, or this CPU's have no int8")
@pytest.mark.usefixtures("no_gpu")
def test_the_fastest_is_taken(new_model: NewModel, monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"int8": 2.0, "float32": 1.0}
    monkeypatch.setattr(choice, "precisions", lambda: list(took))
    monkeypatch.setattr(choice, "PROMISED", dict.fromkeys(choice.PROMISED, -1.0))

    def seconds(engine: Backend, *_: object) -> float:
        return took[choice.engine_name(engine).split(", ")[1]]

    monkeypatch.setattr(choice, "_seconds", seconds)
    folder = str(new_model())
    assert engines(Encoder.load(folder)) == ["native, float32"]
    took["int8"] = 0.5
    assert engines(Encoder.load(folder)) == ["native, int8"]


@pytest.mark.usefixtures("no_gpu", "no_kernels")
def test_without_kernels_torch_in_what_the_cpu_computes_fast(
    new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(new_model())
    monkeypatch.setattr(choice, "_cpu_flags", lambda: {"avx2", "avx512_bf16"})
    assert engines(Encoder.load(folder)) == ["torch, bfloat16"]
    monkeypatch.setattr(choice, "_cpu_flags", lambda: {"avx2"})
    assert engines(Encoder.load(folder)) == ["torch, float32"]


@pytest.mark.usefixtures("no_gpu")
def test_another_architecture_goes_to_torch(
    new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_cpu_flags", lambda: {"avx2"})
    assert engines(Encoder.load(str(new_model("modernbert")))) == ["torch, float32"]


def test_a_gpu_is_torchs(new_model: NewModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_GPU_DEVICES", ("/",))
    assert engines(Encoder.load(str(new_model()))) == ["torch, float32"]


@native
def test_many_passages_and_queries_need_no_torch(new_model: NewModel) -> None:
    program = (
        "import sys; from clsearch.index.encoder import Encoder; "
        "encoder = Encoder.load(sys.argv[1], device='cpu'); "
        "encoder.encode_passages(['reset the router'] * 900); "
        "encoder.encode_queries(['reset the router'] * 900); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(new_model())],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "set()\n"
    assert result.stderr == ""
