"""A function's parameters as Anthropic takes them: a JSON schema whose root is a plain object (case 15)."""

import itertools
from collections.abc import Iterator
from typing import Any

from app.domain.request import JSON

_CHOICES = ("anyOf", "oneOf", "allOf")
_MOST_NODES = 200
"""More branches than any function has: a schema whose references multiply would take for ever."""
_LONGEST_POINTER = 500


class Effort:
    """How much is still merged in the schemas of one request, counted in their names; then they stay as they are."""

    def __init__(self, names: int = 20_000) -> None:
        self._left = names

    def allows(self, *schemas: JSON) -> bool:
        """Whether these may be merged too."""
        self._left -= sum(
            len(each) + len(_dict(each.get("properties"))) + len(_list(each.get("required"))) for each in schemas
        )
        return self._left >= 0


def as_object(parameters: JSON | None, effort: Effort | None = None) -> JSON:
    """Return a copy of the schema whose root is an object.

    A reference or a choice at the root is merged into it, never wrapped in another object: the arguments of a call
    must have the shape that the caller's own schema gives them.
    """
    root = dict(parameters or {})
    is_plain = "$ref" not in root and not any(key in root for key in _CHOICES)
    schema = root if is_plain else _merged(root, root, effort or Effort(), itertools.count())
    schema["type"] = "object"
    if not isinstance(schema.get("properties"), dict):
        schema["properties"] = {}
    return schema


def _merged(schema: JSON, root: JSON, effort: Effort, nodes: Iterator[int]) -> JSON:
    plain = {key: value for key, value in schema.items() if key not in (*_CHOICES, "$ref")}
    if next(nodes) >= _MOST_NODES or not effort.allows(schema):
        return plain
    if "$ref" in schema:
        referred = _merged(_referred(schema["$ref"], root), root, effort, nodes)
        if effort.allows(referred):
            plain = {**referred, **_joined(plain, [referred], every=True)}
    for key in _CHOICES:
        choices = [branch for branch in _list(schema.get(key)) if isinstance(branch, dict)]
        branches = [_merged(branch, root, effort, nodes) for branch in choices]
        if effort.allows(plain, *branches):
            plain = _joined(plain, branches, every=key == "allOf")
    return plain


def _joined(schema: JSON, branches: list[JSON], *, every: bool) -> JSON:
    """Return the object that has the branches' properties too; it requires what each branch does, or any if `every`."""
    if not branches:
        return schema
    properties = dict(_dict(schema.get("properties")))
    for branch in branches:
        for name, inner in _dict(branch.get("properties")).items():
            properties[name] = _either(properties[name], inner) if name in properties else inner
    wanted = [_names(branch) for branch in branches]
    required = _names(schema) | (set.union(*wanted) if every else set.intersection(*wanted))
    joined = {**schema, "properties": properties}
    return {**joined, "required": sorted(required)} if required else joined


def _names(schema: JSON) -> set[str]:
    return {name for name in _list(schema.get("required")) if isinstance(name, str)}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> JSON:
    return value if isinstance(value, dict) else {}


def _either(one: Any, other: Any) -> Any:
    return one if one == other else {"anyOf": [one, other]}


def _referred(pointer: object, root: JSON) -> JSON:
    """Return what a reference within the schema points to; nothing for any other."""
    found: object = root
    for step in str(pointer)[:_LONGEST_POINTER].removeprefix("#/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
