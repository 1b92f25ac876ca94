"""A function's parameters become a plain object without changing the shape of its arguments (15)."""

from copy import deepcopy
from typing import Any

import pytest

from app.providers.anthropic.schema import Effort, as_object

A = {"type": "string"}
B = {"type": "integer"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": {"a": A}}, {"type": "object", "properties": {"a": A}}),
        ({"type": ["object", "null"], "properties": None}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"a": A}, "required": ["a"], "additionalProperties": False},
            {"type": "object", "properties": {"a": A}, "required": ["a"], "additionalProperties": False},
        ),
        # Either of two fields is wanted: which one is left to the tool.
        (
            {"type": "object", "properties": {"a": A, "b": B}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"type": "object", "properties": {"a": A, "b": B}},
        ),
        (
            {
                "oneOf": [
                    {"properties": {"kind": {"const": "a"}, "a": A}, "required": ["kind", "a"]},
                    {"properties": {"kind": {"const": "b"}, "b": B}, "required": ["b", "kind"]},
                ]
            },
            {
                "type": "object",
                "properties": {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}, "a": A, "b": B},
                "required": ["kind"],
            },
        ),
        (
            {"allOf": [{"properties": {"a": A}, "required": ["a"]}, {"properties": {"b": B}, "required": ["b"]}]},
            {"type": "object", "properties": {"a": A, "b": B}, "required": ["a", "b"]},
        ),
        (
            {"$ref": "#/$defs/X", "$defs": {"X": {"title": "X", "properties": {"a": A}, "required": ["a"]}}},
            {
                "title": "X",
                "type": "object",
                "properties": {"a": A},
                "required": ["a"],
                "$defs": {"X": {"title": "X", "properties": {"a": A}, "required": ["a"]}},
            },
        ),
        ({"$ref": "https://example.com/x.json"}, {"type": "object", "properties": {}}),
        ({"$ref": "#/$defs/missing"}, {"type": "object", "properties": {}}),
        ({"anyOf": [], "oneOf": None}, {"type": "object", "properties": {}}),
        ({"anyOf": [True, {"type": "string"}]}, {"type": "object", "properties": {}}),
        ({"$ref": "#", "properties": {"a": A}}, {"type": "object", "properties": {"a": A}}),
    ],
)
def test_roots(given: Any, expected: Any) -> None:
    """A root of any kind is an object with the same fields, and the caller's schema is left as it was."""
    before = deepcopy(given)
    assert as_object(given) == expected
    assert given == before


def test_a_reference_to_itself_ends() -> None:
    """A schema that refers to itself is no endless one."""
    loop = {"$ref": "#/$defs/X", "$defs": {"X": {"anyOf": [{"$ref": "#/$defs/X"}, {"properties": {"a": A}}]}}}
    assert as_object(loop)["properties"] == {"a": A}


def test_references_do_not_multiply() -> None:
    """What is merged in one request has an end, for all of its tools together; then a schema stays as it is."""
    large = {"properties": {str(number): A for number in range(5000)}}
    effort = Effort()
    roots = [as_object({"allOf": [{"$ref": "#/d"}] * 20, "d": large}, effort) for _ in range(20)]
    assert len(roots[0]["properties"]) in {0, 5000}
    assert roots[-1]["properties"] == {}
    assert as_object(large, effort)["properties"] == large["properties"]


def test_a_pointer_has_an_end() -> None:
    """A reference of a million steps leads nowhere, and nobody walks them."""
    assert as_object({"$ref": "#" + "/" * 1_000_000}) == {"type": "object", "properties": {}}
