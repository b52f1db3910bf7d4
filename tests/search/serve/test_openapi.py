"""Requests drawn from /openapi.json: no answer is an error of the server, and all are described."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from clsearch.index.index import Index
from words_encoder import WordsEncoder

from .conftest import free_port, listening

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/x-ndjson")
def as_it_is(context: Any, value: Any) -> bytes:
    """Lines are described as a string, which is sent as it was drawn."""
    return str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of one index."""
    path = tmp_path_factory.mktemp("openapi") / "notes.clsearch"
    with Index.open(path, encoder=WordsEncoder()) as index:
        index.add({"id": f"{n}", "text": f"jade and flint {n}", "metadata": {}} for n in range(3))
    with listening([path], free_port()) as url:
        yield url


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=strategies.data())
def drawn(operation: schemathesis.APIOperation, data: strategies.DataObject) -> None:
    """Requests that fit the description, and requests that nearly do."""
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    mode = data.draw(strategies.sampled_from(modes))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    # Of a body of lines each is judged by itself: none makes the request a bad one.
    lines = operation.label == "POST /v1/documents"
    case.call_and_validate(checks=CHECKS if lines else [*CHECKS, negative_data_rejection])


def references(part: Any) -> Iterator[str]:
    """Each "$ref" of a document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)


def test_every_reference_leads_somewhere(address: str) -> None:
    described = httpx.get(f"{address}/openapi.json").json()
    found = set(references(described))
    assert len(found) > 10
    for reference in found:
        place: Any = described
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_every_answer_is_described(address: str) -> None:
    failures = []
    operations = [
        found.ok()
        for found in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations()
    ]
    assert len(operations) >= 12
    for operation in operations:
        try:
            drawn(operation)
        except (AssertionError, FailureGroup, Failure) as error:
            failures.append(f"{operation.label}: {error}")
    assert not failures, "\n\n".join(failures)
