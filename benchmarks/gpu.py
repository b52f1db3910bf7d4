"""Encoding on a GPU: documents per second beside sentence-transformers', and how near the limit.

    python benchmarks/gpu.py [COLLECTION] [--device cuda:0] [--documents 100000]

COLLECTION is a folder in BEIR's layout, whose documents (`title + " " + text`, again from the start
where they are too few) are encoded, cut at the model's limit; without one, words of the sample
collection at random, 20 to 300 a text. The peers encode the first --peer-documents of them. Needs a
CUDA GPU and `pip install 'clsearch[test]'`, which holds sentence-transformers; on a CPU a trial of
it runs with --device cpu.

Prints

1. documents and tokens per second, text in and vectors out, of the embedded model: of
   sentence-transformers with its defaults, of it in bfloat16, and of clsearch, which is ready and
   knows none of their words; each runs once to warm up, then all in turn, so often as --rounds
   says, and the best counts; and the lowest cosine to sentence-transformers in float32;
2. for BERT in two sizes with random weights, model FLOP utilisation: operations per second that
   the model needs (`operations`) over those of a square matrix product in the same precision on the
   same device, measured before and after; end to end from text, whose words are new to it or not,
   and of the model alone, for which batches were made before, at several numbers of tokens a batch;
3. how much of the batches is padding, which only attention can see.
"""

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from shutil import copytree

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from clsearch import Encoder
from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.encoder.batches import Batch, Tokens, batches
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.pipeline import Backend, spread
from clsearch.index.encoder.pooling import pooling_weights
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.torch_backend import TorchTransformer

Encode = Callable[[Sequence[str]], NDArray[np.float32]]

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "documents"
PACKAGES = ("torch", "transformers", "tokenizers", "sentence-transformers", "numpy")


@dataclass(frozen=True)
class Shape:
    """Layers, width, heads and width of the feed-forward of a BERT."""

    layers: int
    width: int
    heads: int
    inner: int


SHAPES = {"22M": Shape(6, 384, 12, 1536), "110M": Shape(12, 768, 12, 3072)}


def operations(shape: Shape, lengths: Sequence[int]) -> float:
    """Floating point operations for the [CLS] vectors of texts of so many tokens, no padding.

    A multiplication and an addition are two. For a text of t tokens, width d and inner width f, a
    layer takes 2t(4d² + 2df) for its matrices and 4t²d for attention's two products. The last layer
    needs key and value of all tokens, 2t(2d²), and the rest for [CLS] only: 2(2d² + 2df) for its
    matrices and 4td for attention. Embeddings, normalisation, softmax and GELU are not counted.
    """
    d, f = shape.width, shape.inner
    t = np.asarray(lengths, dtype=np.float64)
    layer = 2 * t * (4 * d * d + 2 * d * f) + 4 * t * t * d
    last = 2 * t * (2 * d * d) + 2 * (2 * d * d + 2 * d * f) + 4 * t * d
    return float(((shape.layers - 1) * layer + last).sum())


def read_texts(collection: Path | None, n: int) -> list[str]:
    """`n` texts of a collection, or of words of the sample."""
    if collection is not None:
        with (collection / "corpus.jsonl").open(encoding="utf-8") as lines:
            records = [json.loads(line) for line in itertools.islice(lines, n)]
        texts = [f"{record.get('title', '')} {record['text']}".strip() for record in records]
        return list(itertools.islice(itertools.cycle(texts), n))
    words = [
        word
        for path in sorted(SAMPLE.rglob("*"))
        if path.suffix in (".md", ".txt")
        for word in path.read_text(encoding="utf-8", errors="replace").split()
    ]
    random = np.random.default_rng(1)
    return [" ".join(random.choice(words, size)) for size in random.integers(20, 301, n)]


def synchronize(device: torch.device) -> None:
    """Wait for a GPU; a CPU has nothing waiting."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    run: Callable[[], object],
    device: torch.device,
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> float:
    """The least of so many rounds, after one to warm up; `before` comes before each."""
    times = []
    for _ in range(rounds + 1):
        before()
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])


def ceiling(device: torch.device, dtype: torch.dtype, rounds: int) -> float:
    """Operations per second of a square matrix product, 2n³, the best of several n."""
    sizes = (4096, 8192, 16384) if device.type == "cuda" else (1024, 2048)
    best = 0.0
    for n in sizes:
        left, right = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        repeats = 10 if device.type == "cuda" else 1

        taken = seconds(partial(multiply, left, right, repeats), device, rounds)
        best = max(best, repeats * 2 * n**3 / taken)
    return best


def multiply(left: torch.Tensor, right: torch.Tensor, repeats: int) -> None:
    for _ in range(repeats):
        torch.matmul(left, right)


def write_model(folder: Path, shape: Shape) -> Path:
    """The embedded model's folder with a transformer of another shape, of random weights."""
    copytree(EMBEDDED_MODEL, folder, ignore=lambda *_: {"model.safetensors"})
    config = transformers.AutoConfig.from_pretrained(EMBEDDED_MODEL)
    config.num_hidden_layers, config.hidden_size = shape.layers, shape.width
    config.num_attention_heads, config.intermediate_size = shape.heads, shape.inner
    torch.manual_seed(1)
    transformers.AutoModel.from_config(config, dtype=torch.float32).save_pretrained(folder)
    for path in folder.rglob("config.json"):
        values = json.loads(path.read_text())
        for key in {"word_embedding_dimension", "embedding_dimension"} & values.keys():
            path.write_text(json.dumps({**values, key: shape.width}))
    return folder


def forward(model: TorchTransformer, made: Sequence[Batch], device: torch.device) -> None:
    """The [CLS] vectors of batches, as the encoder computes them, several in flight."""

    def work(backend: Backend, batch: Batch) -> None:
        backend.pooled(batch, pooling_weights(batch.mask, ("cls",)), None)

    spread([model], iter(made), work)
    synchronize(device)


def print_machine(device: torch.device, texts: list[str], tokens: Tokens) -> None:
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        name = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        name += f", {torch.cuda.device_count()} in the machine"
    print(f"{device}: {name}; {os.cpu_count()} CPU cores")
    print(", ".join(f"{package} {version(package)}" for package in PACKAGES))
    average, most = tokens.sizes.mean(), tokens.sizes.max()
    print(f"{len(texts)} texts of {average:.0f} tokens on average, cut at {most}\n")


def peers(device: str) -> Iterator[tuple[str, Encode, Callable[[], object]]]:
    """Encoders of the embedded model and what comes before each: the reference first."""
    plain = SentenceTransformer(str(EMBEDDED_MODEL), device=device)
    yield "sentence-transformers", lambda texts: np.asarray(plain.encode(list(texts))), lambda: None
    half = SentenceTransformer(
        str(EMBEDDED_MODEL), device=device, model_kwargs={"dtype": torch.bfloat16}
    )
    yield (
        "sentence-transformers bf16",
        lambda texts: half.encode(list(texts), convert_to_tensor=True).float().cpu().numpy(),
        lambda: None,
    )
    # On a CPU, by torch: the path that a GPU takes.
    ours = {"clsearch": Encoder.load(device=device, precision="float32")}
    if device.startswith("cuda") and torch.cuda.device_count() > 1:
        ours[f"clsearch, {torch.cuda.device_count()} GPUs"] = Encoder.load()
    for name, encoder in ours.items():
        yield name, encoder.encode_passages, partial(forget, encoder)


def forget(encoder: Encoder) -> None:
    """Leave an encoder as one that has not met the words of the texts."""
    if encoder._tokenizer._words:
        encoder._tokenizer._words.forget()


def compare(device: torch.device, texts: list[str], tokens: Tokens, peer: int, rounds: int) -> None:
    """Print a line for each encoder of the embedded model; the others are given `peer` texts."""
    encoders = list(peers(str(device)))
    vectors: dict[str, NDArray[np.float32]] = {}
    best: dict[str, float] = {name: np.inf for name, *_ in encoders}
    for name, encode, _ in encoders:
        encode(texts if name.startswith("clsearch") else texts[:2000])
    for name, encode, before in itertools.chain.from_iterable([encoders] * rounds):
        count = len(texts) if name.startswith("clsearch") else peer
        before()
        started = time.perf_counter()
        vectors[name] = encode(texts[:count])
        best[name] = min(best[name], (time.perf_counter() - started) / count)
    exact, *_ = vectors.values()
    first, second, *_ = best.values()
    each = len(tokens.ids) / len(texts)
    print(
        f"{'embedded model, text to vectors':<32}  documents/s   tokens/s  x fp32  x bf16  cosine"
    )
    for name, taken in best.items():
        some = vectors[name][: len(exact)]
        cosine = (some * exact).sum(axis=1)
        cosine /= np.linalg.norm(some, axis=1) * np.linalg.norm(exact, axis=1)
        print(
            f"{name:<32} {1 / taken:>12,.1f} {each / taken:>10,.0f} "
            f"{first / taken:>7.2f} {second / taken:>7.2f}  {cosine.min():.5f}"
        )
    print()


def utilisation(
    name: str, device: torch.device, texts: list[str], limits: list[int] | None, rounds: int
) -> None:
    """Print model FLOP utilisation of a shape, end to end and of the model alone."""
    shape = SHAPES[name]
    with tempfile.TemporaryDirectory() as root:
        folder = write_model(Path(root) / "model", shape)
        declared = read_declaration(folder)
        tokenizer = Tokenizer(declared)
        encoder = Encoder.load(str(folder), device=str(device), precision="float32")
        model = TorchTransformer(folder, str(device))
        tokens = tokenizer.encode(texts, declared.passage_length)
        needed = operations(shape, tokens.sizes.tolist())
        dtype = getattr(torch, model.precision)
        before = ceiling(device, dtype, rounds)
        encode = partial(encoder.encode_passages, texts)
        times = {
            "text to vectors, words unknown": seconds(
                encode, device, rounds, partial(forget, encoder)
            ),
            "text to vectors, words known": seconds(encode, device, rounds),
        }
        for limit in limits or [model.batch_tokens]:
            model.batch_tokens = limit
            made = list(batches(tokens, tokenizer.pad, limit))
            run = partial(forward, model, made, device)
            times[f"model alone, {limit} tokens a batch"] = seconds(run, device, rounds)
        most = max(before, ceiling(device, dtype, rounds))
    print(f"{name} in {model.precision}: {most / 1e12:,.2f} TFLOP/s in a matrix product is 100%")
    for label, taken in times.items():
        print(
            f"  {label:<36} {len(tokens.ids) / taken:>12,.0f} tokens/s "
            f"{needed / taken / 1e12:>8.2f} TFLOP/s {needed / taken / most:>7.1%}"
        )
    print()


def print_padding(tokens: Tokens, limits: list[int]) -> None:
    places = {
        limit: sum(batch.mask.size for batch in batches(tokens, 0, limit)) for limit in limits
    }
    real = len(tokens.ids)
    shares = ", ".join(f"{1 - real / size:.2%} at {limit}" for limit, size in places.items())
    print(f"padding in batches of so many tokens: {shares}; none of it is multiplied with weights")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path, nargs="?")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--peer-documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--batch-tokens", type=int, nargs="+", metavar="N")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "torch finds no CUDA GPU here. Run this on a machine with an NVIDIA GPU, its driver, "
            "and a torch built for CUDA, of which torch.version.cuda is not None; or try it with "
            "--device cpu --documents 100"
        )
    limits = arguments.batch_tokens
    if limits is None and device.type == "cuda":
        limits = [8192, 16384, 32768, 65536, 131072]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    texts = read_texts(arguments.collection, arguments.documents)
    declared = read_declaration(EMBEDDED_MODEL)
    tokens = Tokenizer(declared).encode(texts, declared.passage_length)
    print_machine(device, texts, tokens)
    peer = min(arguments.documents, arguments.peer_documents)
    compare(device, texts, tokens, peer, arguments.rounds)
    for name in arguments.shapes:
        utilisation(name, device, texts, limits, arguments.rounds)
    print_padding(tokens, limits or [2048])


if __name__ == "__main__":
    main()
