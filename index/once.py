"""What is computed once for an object, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):
    """A method as an attribute, computed when it is first read.

    As functools.cached_property, which until Python 3.12 holds one lock for all objects of a class
    while it computes for one of them: searches of many threads would wait for each other. Threads
    that share an object may compute it twice.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        """Of a method without arguments."""
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember where the value is kept."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        """The value; from then on it is found in the object itself, before this is asked."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
