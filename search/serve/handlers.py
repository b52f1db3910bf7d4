"""How FastAPI answers what went wrong in a route: as everything else here does."""

from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from ...index.errors import ClsearchError
from .errors import Problem, invalid, log_unexpected, problem_of


def add_handlers(app: FastAPI, routes: Sequence[BaseRoute] = ()) -> None:
    """Let every error of the app's routes be answered in the shape of `errors`.

    Of `routes` it is told what may be done at a path: FastAPI names the methods of one of them.
    """
    app.add_exception_handler(ClsearchError, _failed)
    app.add_exception_handler(HTTPException, partial(_refused, routes))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _failed(_: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.is_unexpected:
        log_unexpected(error)
    return _response(problem)


async def _unexpected(_: Request, error: Exception) -> Response:
    # It is raised again once this is answered; the guard writes it to the log.
    return _response(problem_of(error))


async def _refused(routes: Sequence[BaseRoute], request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "no_such_path", 405: "no_such_method"}.get(error.status_code, "refused")
    response = _response(Problem(error.status_code, str(error.detail), code))
    response.headers.update(error.headers or {})
    methods = _methods(routes, request) if error.status_code == 405 else None
    if methods:
        response.headers["allow"] = ", ".join(sorted(methods))
    return response


def _methods(routes: Sequence[BaseRoute], request: Request) -> set[str]:
    """What may be done at the path of a request."""
    return {
        method
        for route in routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(invalid(error.errors()))


def _response(problem: Problem) -> Response:
    return Response(problem.body, problem.status, problem.headers)
