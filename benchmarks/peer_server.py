"""What one writes first to serve a vector search: sentence-transformers, FastAPI and FAISS.

    python benchmarks/peer_server.py MODEL FLAT.faiss INDEX.db PORT

It finds by vectors alone, and reads the passages from the database that clsearch made.
"""

import sqlite3
import sys

import faiss
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

MODEL, FLAT, DATABASE, PORT = sys.argv[1:]
PASSAGE = (
    'SELECT d.id, d.title, substr(d.text, p.start + 1, p."end" - p.start) FROM passages p '
    "JOIN documents d ON d.key = p.document WHERE p.id = ?"
)

app = FastAPI()
model = SentenceTransformer(MODEL, device="cpu")
index = faiss.read_index(FLAT)
rows = sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, check_same_thread=False)


class Question(BaseModel):
    """What is asked."""

    query: str
    k: int = 10


@app.get("/readyz")
def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/v1/search")
def search(question: Question) -> dict[str, list[dict[str, object]]]:
    vectors = model.encode([question.query], normalize_embeddings=True, show_progress_bar=False)
    scores, ids = index.search(vectors, question.k)
    hits = []
    for score, id in zip(scores[0].tolist(), ids[0].tolist(), strict=True):
        document, title, text = rows.execute(PASSAGE, (id,)).fetchone()
        hits.append({"score": score, "document": document, "title": title, "text": text})
    return {"hits": hits}


if __name__ == "__main__":
    uvicorn.run(app, port=int(PORT), log_level="error")
