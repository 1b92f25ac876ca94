"""What GET /v1/turns asks: the newest turns first, by conversation, request, time and end; never a scan by time."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, select, text

from app.domain.ports import TurnPage, TurnQuery
from app.stores.records.rows import first_id_of, json_of, stored
from app.stores.records.table import TURNS

READ_MS = 2000
"""How long Postgres may look: a rare end among many turns is not worth more of its time."""


def page_of(query: TurnQuery, connection: Connection) -> TurnPage:
    """Return the turns that a query asks for, as many as it takes."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = {READ_MS}"))
    wanted = select(TURNS).where(*_conditions(query)).order_by(TURNS.c.id.desc()).limit(query.limit + 1)
    rows = [json_of(row) for row in connection.execute(wanted).mappings()]
    return TurnPage(rows[: query.limit], has_more=len(rows) > query.limit)


def _conditions(query: TurnQuery) -> Iterator[ColumnElement[bool]]:
    """Yield what a row must be. The ids' bounds are what the primary key finds; they are true to the millisecond."""
    columns = TURNS.c
    if query.conversation is not None:
        yield columns.conversation_id == stored(query.conversation)
    if query.request_id is not None:
        yield columns.request_id == stored(query.request_id)
    if query.end is not None:
        yield columns.end == query.end
    if query.since is not None:
        yield columns.id >= first_id_of(query.since)
        yield columns.began_at >= query.since
    if query.until is not None:
        yield columns.id < first_id_of(query.until + 0.001)
        yield columns.began_at < query.until
    if query.after is not None:
        yield columns.id < query.after
