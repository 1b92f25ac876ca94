"""marshmallow fields that take a value only in its own JSON type, as OpenAI does: no "0.5" for 0.5, no 1 for true.

Each says beside its check what it takes, as a JSON Schema without null: `openapi.py` gathers these.
"""

import math
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.domain.request import JSON

WIDEST = 2**63 - 1
"""The largest integer, and with a minus the smallest, that every reader of JSON keeps."""


class Number(fields.Field[float]):
    """A JSON number that is finite, within `low` and `high`; an integer stays one, so that it is sent on as it came."""

    default_error_messages = {"invalid": "Expected a number."}  # noqa: RUF012 (marshmallow's own way)

    def __init__(self, low: float | None = None, high: float | None = None, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(low, high), **kwargs)
        self.low = low
        self.high = high

    def json_schema(self) -> JSON:
        """A number within the bounds there are."""
        bounds = {"minimum": self.low, "maximum": self.high}
        return {"type": "number"} | {name: bound for name, bound in bounds.items() if bound is not None}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.make_error("invalid")
        return value


class Whole(Number):
    """A JSON integer within `low` and `high`, and within 64 bits."""

    default_error_messages = {"invalid": "Expected an integer."}  # noqa: RUF012

    def json_schema(self) -> JSON:
        """An integer within the bounds there are, else within 64 bits."""
        return {"minimum": -WIDEST, "maximum": WIDEST} | super().json_schema() | {"type": "integer"}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        number = super()._deserialize(value, attr, data, **kwargs)
        if number != int(number) or abs(number) > WIDEST:
            raise self.make_error("invalid")
        return int(number)


class Tokens(Whole):
    """A bound on tokens: at least 1; -1 means unlimited to ElevenLabs, and is the same as none."""

    def json_schema(self) -> JSON:
        """-1, or what any other integer must be."""
        return {"anyOf": [super().json_schema(), {"const": -1}]}

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Take -1 as null before the range is looked at."""
        return super().deserialize(None if value == -1 else value, attr, data, **kwargs)


class Flag(fields.Field[bool]):
    """true or false."""

    default_error_messages = {"invalid": "Expected true or false."}  # noqa: RUF012

    def json_schema(self) -> JSON:
        """A boolean."""
        return {"type": "boolean"}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Object(fields.Field[dict[str, Any]]):
    """A JSON object, taken as it is; its `type`, if `types` are named, must be one of them."""

    default_error_messages = {"invalid": "Expected an object."}  # noqa: RUF012

    def __init__(self, types: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.types = types

    def json_schema(self) -> JSON:
        """An object, with its type where there is a choice."""
        if not self.types:
            return {"type": "object"}
        return {"type": "object", "required": ["type"], "properties": {"type": {"enum": list(self.types)}}}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if self.types and value.get("type") not in self.types:
            raise ValidationError({"type": [f"Expected one of: {', '.join(self.types)}."]})
        return value


class Map(fields.Dict):
    """A JSON object of at most `most` values of one kind; what is wrong with one stands under its own name."""

    most = 1024
    default_error_messages = {"invalid": "Expected an object.", "many": f"Expected at most {most}."}  # noqa: RUF012

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, dict) and len(value) > self.most:
            raise self.make_error("many")
        try:
            return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            # marshmallow tells what is wrong with the name from what is wrong with the value.
            raise ValidationError(
                {name: found.get("key") or found["value"] for name, found in error.messages.items()}
            ) from None


class Few(fields.List[Any]):
    """A list of at least one and at most `most` values; how many there are is looked at before they are."""

    most = 16
    default_error_messages = {"many": f"Expected at least 1 and at most {most}."}  # noqa: RUF012

    def __init__(self, inner: fields.Field[Any], **kwargs: Any) -> None:
        super().__init__(inner, validate=validate.Length(1, self.most), **kwargs)  # which the document tells

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, list) and not 1 <= len(value) <= self.most:
            raise self.make_error("many")
        return super()._deserialize(value, attr, data, **kwargs)


class Stop(fields.Field[str | list[str]]):
    """A string, or up to `most` of them."""

    most = 4
    default_error_messages = {"invalid": "Expected a string or a list of at most 4 strings."}  # noqa: RUF012

    def json_schema(self) -> JSON:
        """Either form."""
        text = {"type": "string"}
        return {"anyOf": [text, {"type": "array", "items": text, "maxItems": self.most}]}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str):
            return value
        if not isinstance(value, list) or len(value) > self.most or not all(isinstance(one, str) for one in value):
            raise self.make_error("invalid")
        return value


class OneOf(fields.String):
    """A string out of a list."""

    def __init__(self, *choices: str, **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf(choices, error=f"Expected one of: {', '.join(choices)}."), **kwargs)


class Only(fields.Field[Any]):
    """What OpenAI has and this server has not: nothing but `value`, which asks for nothing, and null are taken."""

    def __init__(self, value: Any, *, error: str, **kwargs: Any) -> None:
        super().__init__(allow_none=True, metadata={"description": error}, **kwargs)
        self.value = value
        self.error = error

    def json_schema(self) -> JSON:
        """The value."""
        return {"enum": [self.value]}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        # true is 1 to Python, and not to JSON.
        if value != self.value or isinstance(value, bool) != isinstance(self.value, bool):
            raise ValidationError(self.error)
        return self.value
