"""Fields take a value in its own JSON type only, and say in a word what they expect."""

import math
from typing import Any

import pytest
from marshmallow import ValidationError, fields

from app.schemas.fields import Flag, Map, Number, Object, OneOf, Only, Stop, Tokens, Whole

TAKEN: list[tuple[fields.Field[Any], Any, Any]] = [
    (Number(0, 2), 0, 0),
    (Number(0, 2), 2.0, 2.0),
    (Number(0, 2), 0.5, 0.5),
    (Whole(), 7, 7),
    (Whole(), 7.0, 7),
    (Whole(), -(2**63) + 1, -(2**63) + 1),
    (Tokens(1, allow_none=True), 1, 1),
    (Tokens(1, allow_none=True), -1, None),
    (Tokens(1, allow_none=True), -1.0, None),
    (Tokens(1, allow_none=True), None, None),
    (Flag(), True, True),
    (Flag(), False, False),
    (Object(), {}, {}),
    (Object(("a", "b")), {"type": "b", "more": 1}, {"type": "b", "more": 1}),
    (Stop(), "END", "END"),
    (Stop(), ["a", "b", "c", "d"], ["a", "b", "c", "d"]),
    (Stop(), [], []),
    (OneOf("low", "high"), "low", "low"),
    (Only(1, error="one"), 1.0, 1),
    (Only([], error="none"), None, None),
    (Map(keys=fields.String(), values=Whole()), {"a": 1}, {"a": 1}),
]

REFUSED: list[tuple[fields.Field[Any], Any, str]] = [
    (Number(0, 2), "0.5", "number"),
    (Number(0, 2), True, "number"),
    (Number(0, 2), math.nan, "number"),
    (Number(0, 2), math.inf, "number"),
    (Number(0, 2), 10**400, "less than or equal to 2"),
    (Number(0, 2), 2.01, "less than or equal to 2"),
    (Number(0, 2), -0.01, "greater than or equal to 0"),
    (Number(0, 2), None, "null"),
    (Whole(), 7.5, "integer"),
    (Whole(), "7", "integer"),
    (Whole(), 10**400, "integer"),
    (Whole(), 2**63, "integer"),
    (Whole(), False, "integer"),
    (Tokens(1), 0, "greater than or equal to 1"),
    (Tokens(1), -2, "greater than or equal to 1"),
    (Tokens(1), True, "integer"),
    (Flag(), 1, "true or false"),
    (Flag(), "true", "true or false"),
    (Object(), [], "object"),
    (Object(), "x", "object"),
    (Object(("a",)), {"type": "c"}, "one of: a"),
    (Object(("a",)), {"type": ["a"]}, "one of: a"),
    (Object(("a",)), {}, "one of: a"),
    (Stop(), ["a", "b", "c", "d", "e"], "at most 4"),
    (Stop(), [1], "list"),
    (Stop(), 1, "string"),
    (OneOf("low", "high"), "medium", "low, high"),
    (OneOf("low", "high"), ["low"], "string"),
    (Only(1, error="one alone"), True, "one alone"),
    (Only([], error="no list"), [1], "no list"),
    (Only(None, error="nothing"), {}, "nothing"),
    (Map(keys=fields.String(), values=Whole()), [], "object"),
    (Map(keys=fields.String(), values=Whole()), {"a": 1, "b": "x"}, "'b'"),
]


def name(row: Any) -> str:
    """Name a row of the tables for pytest."""
    return type(row).__name__ if isinstance(row, fields.Field) else repr(row)[:30]


@pytest.mark.parametrize(("field", "value", "taken"), TAKEN, ids=name)
def test_taken(field: fields.Field[Any], value: Any, taken: Any) -> None:
    """A value of the right type comes through as it was sent, integers as integers."""
    got = field.deserialize(value)
    assert (got, type(got)) == (taken, type(taken))


@pytest.mark.parametrize(("field", "value", "reason"), REFUSED, ids=name)
def test_refused(field: fields.Field[Any], value: Any, reason: str) -> None:
    """A value of another type or out of range is refused, never converted, and the reason says what is expected."""
    with pytest.raises(ValidationError, match=reason):
        field.deserialize(value)
