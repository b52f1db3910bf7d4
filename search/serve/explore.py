"""What there is to look at before anything is asked: facets, and a map of the passages."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request, Response

from . import facets
from .backend import as_json, backend_of
from .maps import key_of
from .shapes import ALWAYS, Told, error_responses

router = APIRouter(tags=["explore"])

MAKING = 1  # seconds after which to ask for a map again


class FacetValue(Told):
    """A value, how many documents have it, and the filter that leaves only those."""

    value: str | int | float | bool
    documents: int
    where: str


class FacetShape(Told):
    """The most frequent values of a key of the metadata; of the folders, where `name` is null."""

    name: str | None
    values: list[FacetValue]


class FacetsAnswer(Told):
    """What parts the documents. The metadata of `counted` of them was read."""

    index: str
    generation: int
    documents: int
    counted: int
    facets: list[FacetShape]


class MapColour(Told):
    """A byte of `of` for each document: 0, or the place of its value in `labels`, from 1."""

    name: str | None
    labels: list[str | int | float | bool]
    of: str


class MapPoints(Told):
    """A column for each of the passages: base64 of little-endian numbers."""

    x: str
    y: str
    id: str
    document: str
    start: str
    end: str
    line: str


class MapAnswer(Told):
    """Of all `passages` those `shown`, by their two principal components.

    `state` is "older" while the map of the newest commit is being made. `shares` are those of the
    two components in all variance. `documents` are (id, title), `points.document` places in it;
    `x` and `y` are uint16, `document` and `line` uint32, `id`, `start` and `end` float64.
    """

    state: Literal["current", "older"]
    generation: int
    passages: int
    shown: int
    shares: tuple[float, float]
    documents: list[tuple[str, str]]
    colours: list[MapColour]
    points: MapPoints


class Making(Told):
    """There is no map yet: ask again after `Retry-After` seconds."""

    state: Literal["making"]


@router.get(
    "/v1/indexes/{name}/facets",
    summary="List values that many documents share",
    response_model=FacetsAnswer,
    responses=error_responses(*ALWAYS, 404, 422),
)
async def get_facets(request: Request, name: str) -> Response:
    """The folders and the metadata keys, each with its most frequent values."""
    backend = backend_of(request)
    served = backend.indexes.get(name)

    def work() -> Response:
        with served.snapshot() as snapshot:
            key = key_of(snapshot)
            of, known = backend.facets.get(name, (None, None))
            if known is None or of != key:
                known = facets.read(snapshot)
                backend.facets[name] = (key, known)
        return as_json({"index": name, **known.to_json()})

    return await backend.workers.run(request, work)


@router.get(
    "/v1/indexes/{name}/map",
    summary="See the passages in two dimensions",
    response_model=MapAnswer,
    responses={
        **error_responses(*ALWAYS, 404, 422),
        202: {"model": Making, "description": "It is being made."},
        304: {"description": "It is the one of the ETag that was sent."},
    },
)
async def get_map(
    request: Request, name: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """A map of the passages, 50,000 of them at most, made in the background."""
    backend = backend_of(request)
    served = backend.indexes.get(name)

    def work() -> Response:
        made, current = backend.maps.get(served.path)
        if made is None:
            response = as_json({"state": "making"}, 202)
            response.headers["Retry-After"] = str(MAKING)
            return response
        state = "current" if current else "older"
        headers = {"ETag": f'"{made.key[:32]}-{state}"', "Cache-Control": "no-cache"}
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        body = f'{{"state": "{state}", '.encode() + made.body[1:]
        return Response(body, headers=headers, media_type="application/json")

    return await backend.workers.run(request, work)
