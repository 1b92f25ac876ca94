"""The tree of errors: what its docstring draws is what the classes are."""

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from app.domain import errors
from app.domain.errors import CallerGone, GlottisError, InvalidRequest, ProviderRequestRefused, RequestError, TimeIsUp

LINE = re.compile(r"^ {4}(?P<rails>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +(?P<status>\d{3}) +(?P<type>\w+) +(?P<code>.+))?")


class Row(NamedTuple):
    parent: str | None
    status: int | None
    type: str | None
    code: str | None


def drawn() -> dict[str, Row]:
    """Read the tree in the docstring; a row without a status is drawn for its children alone."""
    rows: dict[str, Row] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := LINE.match(line):
            depth = len(found["rails"]) // 4
            above[depth:] = [found["name"]]
            code = None if (found["code"] or "(").startswith("(") else found["code"]
            status = int(found["status"]) if found["status"] else None
            rows[found["name"]] = Row(above[depth - 1] if depth else None, status, found["type"], code)
    del rows["CallerGone"], rows["TimeIsUp"]
    return rows


def classes(root: type[GlottisError] = GlottisError) -> Iterator[type[GlottisError]]:
    """Yield a class and all that are made of it."""
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


ROWS = drawn()
CLASSES = {kind.__name__: kind for kind in classes()}


def test_every_class_is_drawn_and_every_drawn_name_is_a_class() -> None:
    """The docstring names all errors that there are, and no other."""
    assert ROWS.keys() == CLASSES.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_class_is_what_its_row_says(name: str) -> None:
    """Parent, status, type and code of each error stand in the docstring as they are."""
    row, kind = ROWS[name], CLASSES[name]
    assert row.parent == (kind.__base__.__name__ if kind is not GlottisError else None)
    if row.status is not None:
        assert (row.status, row.type, row.code) == (kind.status, kind.type, kind.default_code)


@pytest.mark.parametrize("name", ROWS)
def test_every_error_can_be_told_to_a_caller(name: str) -> None:
    """Each error has words for the caller, a docstring, and a status that is an error's."""
    error = CLASSES[name]()
    assert error.message == str(error)
    assert error.message.endswith(".")
    assert 400 <= error.status < 600
    assert inspect.getdoc(CLASSES[name])
    assert error.name == name


@pytest.mark.parametrize("ending", [CallerGone, TimeIsUp])
def test_what_ends_a_turn_is_no_exception(ending: type[BaseException]) -> None:
    """No `except Exception` on the way can keep it from ending the turn."""
    assert issubclass(ending, BaseException)
    assert not issubclass(ending, Exception)


def test_an_error_keeps_what_it_is_given() -> None:
    """Message, param and code go to the caller, detail to the log, and each has its place."""
    error = InvalidRequest("No.", param="messages[0]", code="odd", detail="inside", retry_after_s=1.5)
    assert (error.message, error.param, error.code, error.detail) == ("No.", "messages[0]", "odd", "inside")
    assert error.retry_after_s == 1.5
    assert "inside" not in str(error)


def test_only_a_request_s_own_faults_are_request_errors() -> None:
    """What a provider refused is told apart from what this server refused."""
    assert not issubclass(ProviderRequestRefused, RequestError)
