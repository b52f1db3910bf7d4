"""How FastAPI answers what went wrong in a route: as everything else here does."""

from collections.abc import Awaitable, Callable, Sequence

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
    app.add_exception_handler(HTTPException, _refused_at(routes))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _failed(_: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status >= 500 and problem.retry_after is None:
        log_unexpected(error)
    return _response(problem)


async def _unexpected(_: Request, error: Exception) -> Response:
    # It is raised again once this is answered; the guard writes it to the log.
    return _response(problem_of(error))


def _refused_at(routes: Sequence[BaseRoute]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "no_such_path", 405: "no_such_method"}.get(error.status_code, "refused")
        response = _response(Problem(error.status_code, str(error.detail), code))
        response.headers.update(error.headers or {})
        methods = {
            method
            for route in routes
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
        if error.status_code == 405 and methods:
            response.headers["allow"] = ", ".join(sorted(methods))
        return response

    return refused


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(invalid(error.errors()))


def _response(problem: Problem) -> Response:
    return Response(problem.body, problem.status, problem.headers)
