"""What GET /v1/turns takes: the query of a URL, from text to a TurnQuery."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app.domain.errors import InvalidRequest
from app.domain.ports import TurnQuery
from app.domain.request import JSON
from app.domain.turn import End
from app.schemas.fields import OneOf
from app.schemas.reasons import reasons

LATEST = 253402300799
"""The last second of the year 9999, in Unix seconds."""


class Moment(fields.Field[float]):
    """Unix seconds, or a date and time with its offset as ISO 8601 writes it."""

    default_error_messages = {  # noqa: RUF012 (marshmallow's own way)
        "invalid": "Expected Unix seconds, or a time such as 2026-11-22T16:34:01Z."
    }

    def json_schema(self) -> JSON:
        """Either form; which texts are a time, JSON Schema's formats say."""
        return {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": LATEST}, {"type": "string", "format": "date-time"}]
        }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = self._of_iso(value)
        if not 0 <= seconds <= LATEST:
            raise self.make_error("invalid")
        return seconds

    def _of_iso(self, text: str) -> float:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.make_error("invalid") from None
        if moment.tzinfo is None:
            raise self.make_error("invalid")
        return moment.timestamp()


class TurnId(fields.String):
    """The id of a turn."""

    def json_schema(self) -> JSON:
        """A UUID."""
        return {"type": "string", "format": "uuid"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return str(uuid.UUID(value))
        except ValueError:
            raise ValidationError("Expected the id of a turn.") from None


class TurnsQuerySchema(Schema):
    """The parameters of GET /v1/turns. Others are an error, because a misspelt one would find everything."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "There is no such parameter."}  # noqa: RUF012

    conversation = fields.String(
        validate=validate.Length(min=1), metadata={"description": "Turns of this conversation."}
    )
    request_id = fields.String(validate=validate.Length(min=1), metadata={"description": "Turns of this request id."})
    since = Moment(metadata={"description": "Turns that began then or later."})
    until = Moment(metadata={"description": "Turns that began earlier."})
    end = OneOf(*get_args(End), metadata={"description": "Turns that ended so."})
    limit = fields.Integer(
        validate=validate.Range(1, 100), metadata={"description": "How many turns; 20 if it is not said."}
    )
    after = TurnId(metadata={"description": "The `last_id` of the page before."})


QUERY = TurnsQuerySchema()


def load_query(parameters: Mapping[str, str]) -> TurnQuery:
    """Return what the parameters of a URL ask for; raises InvalidRequest, whose `param` is the one at fault."""
    try:
        return TurnQuery(**QUERY.load(parameters))
    except ValidationError as error:
        name, reason = next(reasons(error.messages))
        raise InvalidRequest(f"Invalid value for '{name}': {reason}", param=name) from None
