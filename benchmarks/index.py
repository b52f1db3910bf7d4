"""`clsearch index`, end to end, beside sentence-transformers' `encode` alone: documents per second.

    python benchmarks/index.py COLLECTION [--documents 1000] [--peer-documents 300] [--rounds 2]
                               [--peers PYTHON]

COLLECTION is a folder in BEIR's layout; of each document, title and text are cut to 256 tokens, the
embedded model's limit. clsearch is timed as a command, from its start to the committed index: it
reads JSONL, cuts passages of up to 180 tokens, puts the title above each, and so encodes more
tokens than its peer. The peer is timed without loading, in every setting that it offers and that
PYTHON has what is needed for: its default, bfloat16, ONNX int8 (dynamic), OpenVINO int8 (static,
by NNCF on 100 of the texts). All take turns, each in a process of its own; the best round of each
counts. CPU time tells more than the clock where the machine has other work.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 256
CALIBRATED = 100  # texts that NNCF observes
OURS = "clsearch index"
CLSEARCH = [sys.executable, "-m", "clsearch"]
PEERS = ("float32", "bfloat16", "onnx int8", "openvino int8")
PACKAGES = ("sentence-transformers", "transformers", "torch", "onnxruntime", "openvino")


def load_peer(setting: str, model: str, folder: Path) -> Any:
    """A SentenceTransformer in one of the settings; quantised models are made below `folder`."""
    import torch
    from sentence_transformers import SentenceTransformer

    if setting in ("float32", "bfloat16"):
        kwargs = {"dtype" if int(version("transformers").split(".")[0]) > 4 else "torch_dtype"}
        return SentenceTransformer(
            model, device="cpu", model_kwargs=dict.fromkeys(kwargs, getattr(torch, setting))
        )
    from sentence_transformers import (
        export_dynamic_quantized_onnx_model,
        export_static_quantized_openvino_model,
    )

    backend = setting.split()[0]
    made = folder / backend
    if not made.exists():
        plain = SentenceTransformer(
            model, device="cpu", backend=backend, model_kwargs={"export": True}
        )
        plain.save_pretrained(str(made))
        if backend == "onnx":
            export_dynamic_quantized_onnx_model(plain, onnx_target(), str(made))
        else:
            # On these texts, not on the set that it would download.
            from optimum.intel import OVQuantizationConfig

            calibration = folder / "calibration"
            calibration.mkdir()
            lines = (json.dumps({"text": text}) for text in json.loads(texts_of(folder)))
            (calibration / "train.jsonl").write_text("\n".join(lines), "utf-8")
            export_static_quantized_openvino_model(
                plain,
                OVQuantizationConfig(num_samples=CALIBRATED),
                str(made),
                dataset_name=str(calibration),
                dataset_config_name="default",
                dataset_split="train",
                column_name="text",
            )
    (file,) = [file.name for file in made.rglob("*int8*") if file.suffix in (".onnx", ".xml")]
    return SentenceTransformer(
        str(made), device="cpu", backend=backend, model_kwargs={"file_name": f"{backend}/{file}"}
    )


def texts_of(folder: Path) -> str:
    """The peer's texts, as JSON."""
    return (folder / "texts.json").read_text("utf-8")


def onnx_target() -> str:
    """What sentence-transformers calls this CPU."""
    flags = Path("/proc/cpuinfo").read_text().split() if sys.platform == "linux" else []
    if platform.machine() in ("arm64", "aarch64"):
        return "arm64"
    return "avx512_vnni" if "avx512_vnni" in flags else "avx2"


def version(package: str) -> str:
    """The version of an installed package, or `-`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def peer(setting: str, model: str, folder: Path) -> None:
    """Encode the texts of `folder` and print seconds, tokens and versions as JSON."""
    texts = json.loads(texts_of(folder))
    encoder = load_peer(setting, model, folder)
    encoder.encode(texts[:64])
    started, began = time.perf_counter(), time.process_time()
    encoder.encode(texts)
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    tokens = sum(len(ids) for ids in encoder.tokenizer(texts)["input_ids"])
    versions = {package: version(package) for package in PACKAGES}
    print(json.dumps({"seconds": seconds, "cpu": cpu, "tokens": tokens, "versions": versions}))


class Rates(NamedTuple):
    """Per second of the clock, and CPU milliseconds of all threads per document."""

    documents: float
    tokens: float
    milliseconds: float

    @classmethod
    def of(cls, documents: int, tokens: int, seconds: float, cpu: float) -> "Rates":
        """From seconds by the clock, and of CPU time."""
        return cls(documents / seconds, tokens / seconds, 1000 * cpu / documents)


def index_once(corpus: Path, index: Path, documents: int, tokens: int) -> Rates:
    """Run `clsearch index`, whole."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [*CLSEARCH, "index", str(corpus), "--index", str(index), "--json"],
        check=True,
        capture_output=True,
    )
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Rates.of(documents, tokens, seconds, cpu)


def note(best: dict[str, Rates], label: str, rates: Rates) -> None:
    """Keep the faster, and the lower CPU time."""
    known = best.get(label, Rates(0.0, 0.0, float("inf")))
    least = min(known.milliseconds, rates.milliseconds)
    best[label] = Rates(
        max(known.documents, rates.documents), max(known.tokens, rates.tokens), least
    )
    print(f"  {label}: {rates}", file=sys.stderr, flush=True)


def run(command: list[str]) -> dict[str, Any] | None:
    """The JSON on the last line of what a command prints; None, with the reason, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        print(f"  {' '.join(command[-4:])} failed: {reason}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_texts(collection: Path, folder: Path, documents: int, peer_documents: int) -> int:
    """Cut the documents, and write them for clsearch and for the peer -> tokens for clsearch."""
    from clsearch import Encoder
    from clsearch.index.passages import encoded_text, split
    from clsearch.index.types import Document

    encoder = Encoder.load()
    with (collection / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in itertools.islice(lines, documents)]
    texts, tokens = [], 0
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as out:
        for number, record in enumerate(records):
            title = record.get("title", "")
            above, spans = encoder.token_spans([title, record["text"]])
            spans = spans[: LIMIT - 2 - len(above)]
            text = record["text"][: spans[-1][1]] if len(spans) else ""
            texts.append(f"{title} {text}".strip())
            out.write(json.dumps({"id": str(number), "title": title, "text": text}) + "\n")
            document = Document(id=str(number), title=title, text=text)
            for passage in split(document, encoder.token_spans, encoder.room):
                given = encoded_text(title, passage.heading, passage.text)
                tokens += len(encoder.token_spans([given])[0]) + 2
    (folder / "texts.json").write_text(json.dumps(texts[:peer_documents]), "utf-8")
    return tokens


def main() -> None:
    """Print documents and tokens per second of each, the ratios, the machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--peer-documents", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--settings", default=",".join(PEERS), help="of the peer, by commas")
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        setting, model, folder = arguments.peer
        peer(setting, model, Path(folder))
        return
    from clsearch.index.config import EMBEDDED_MODEL

    best: dict[str, Rates] = {}
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = write_texts(
            arguments.collection, folder, arguments.documents, arguments.peer_documents
        )
        for round in range(arguments.rounds):
            index = folder / f"index{round}"
            note(
                best, OURS, index_once(folder / "corpus.jsonl", index, arguments.documents, tokens)
            )
            for setting in arguments.settings.split(","):
                command = [arguments.peers, __file__, str(arguments.collection), "--peer"]
                found = run([*command, setting, str(EMBEDDED_MODEL), name])
                if found is not None:
                    versions = found["versions"]
                    count = arguments.peer_documents
                    rates = Rates.of(count, found["tokens"], found["seconds"], found["cpu"])
                    note(best, f"encode, {setting}", rates)
        status = run([*CLSEARCH, "status", "--index", str(index), "--json"]) or {}
    print(f"{'':24} documents/s  tokens/s  CPU ms/document  {OURS} has")
    for label, rates in best.items():
        ratio, cheaper = (
            best[OURS].documents / rates.documents,
            rates.milliseconds / best[OURS].milliseconds,
        )
        compared = f"{ratio:.2f}x, by CPU time {cheaper:.2f}x" if label != OURS else ""
        print(
            f"{label:24} {rates.documents:11.1f} {rates.tokens:9,.0f} {rates.milliseconds:16.1f}  "
            f"{compared}"
        )
    print(f"passages encoded by {'; '.join(status.get('engines') or ['?'])}")
    print(f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}")
    print("clsearch runs with", {package: version(package) for package in PACKAGES[2:]})
    print("the peer with", versions)


if __name__ == "__main__":
    main()
