"""benchmarks/gpu.py: what it counts, and that it runs to its end on a CPU."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module of its own, with tiny shapes."""
    spec = importlib.util.spec_from_file_location("benchmark_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    shapes = {"22M": module.Shape(2, 24, 2, 40), "110M": module.Shape(3, 32, 4, 48)}
    monkeypatch.setattr(module, "SHAPES", shapes)
    return module


def test_operations_by_hand(gpu: ModuleType) -> None:
    """d = 3, f = 5, two layers; texts of 2 tokens and of 1."""
    first = 2 * 2 * (36 + 30) + 4 * 4 * 3 + 2 * 1 * (36 + 30) + 4 * 1 * 3
    last = 2 * 2 * 18 + 2 * (18 + 30) + 4 * 2 * 3 + 2 * 1 * 18 + 2 * (18 + 30) + 4 * 1 * 3
    assert gpu.operations(gpu.Shape(2, 3, 1, 5), [2, 1]) == first + last


def product_operations(_: list[int], left: list[int], right: list[int], **__: object) -> int:
    """For the counter, which does not know products in place: from the shapes of the operands."""
    return 2 * left[0] * left[1] * right[1]


@pytest.mark.parametrize("name", ["22M", "110M"])
def test_operations_are_those_that_torch_counts(name: str, gpu: ModuleType, tmp_path: Path) -> None:
    model = gpu.TorchTransformer(gpu.write_model(tmp_path / "model", gpu.SHAPES[name]), "cpu")
    (batch,) = gpu.batches(gpu.Tokens.of([[101, 2000, 2001, 102]] * 3), 0, 100)
    in_place = {torch.ops.aten.addmm_: product_operations}
    counter = FlopCounterMode(display=False, custom_mapping=in_place)
    with sdpa_kernel(SDPBackend.MATH), counter:
        model.pooled(batch, gpu.pooling_weights(batch.mask, ("cls",)), None)
    assert counter.get_total_flops() == gpu.operations(gpu.SHAPES[name], [4, 4, 4])


def test_the_table_on_a_cpu(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", "gpu.py --device cpu --documents 4 --rounds 1 --batch-tokens 512 1024".split()
    )
    gpu.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"torch {torch.__version__}, transformers ")
    assert lines[2].startswith("4 texts of ")
    encoders = [line for line in lines if line.startswith(("sentence-transformers  ", "clsearch"))]
    assert len(encoders) == 2
    for line in encoders:
        assert float(line.split()[-1]) >= 0.999
    shares = [line for line in lines if line.startswith("  ")]
    assert len(shares) == 2 * 4, "two shapes: text to vectors twice, and two sizes of batches"
    assert all(0 < float(line.split()[-1].rstrip("%")) < 200 for line in shares)
    assert lines[-1].startswith("padding in batches of so many tokens: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_it_needs(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as ended:  # with a text: it goes to stderr, and the code is 1
        gpu.main()
    assert "no CUDA GPU here. Run this on a machine with an NVIDIA GPU" in str(ended.value)
    assert "--device cpu" in str(ended.value)
    assert capsys.readouterr().out == ""
