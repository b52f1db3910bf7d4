"""The page at `/`: these files, as they are, and no others."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
INDEX = "index.html"

router = APIRouter()


def _serve(path: str, body: bytes, type: str) -> None:
    # No build gives these files names of their versions: the browser asks each time, by ETag.
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=type, headers=headers)

    router.add_route(path, answer, ["GET", "HEAD"], include_in_schema=False)


for _file in sorted(FOLDER.iterdir()):
    if _file.suffix in TYPES:
        _path = "/" if _file.name == INDEX else f"/page/{_file.name}"
        _serve(_path, _file.read_bytes(), TYPES[_file.suffix])
