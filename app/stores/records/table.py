"""The table of turns. Its names are a promise: people query it by hand, and older servers write into newer schemas.

`id` is a UUID of version 7 that begins with `began_at`: the primary key is the order of time, and with it the cursor,
the bounds of a query by time, and what retention goes by. A change here needs a migration (docs/records.md).
"""

from sqlalchemy import JSON, Boolean, Column, Double, Index, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()

VERSION_TABLE = "glottis_version"
"""Where Alembic keeps the revision; by a name of our own, because others may use the same database."""

HEAD = "0001"
"""The newest revision. Revisions are numbers, so that a newer one is told from an older one."""

TURNS = Table(
    "glottis_turns",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("began_at", Double, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("conversation_id", Text),
    Column("key", Text),
    Column("model", Text, nullable=False),
    Column("route", Text),
    Column("stream", Boolean, nullable=False),
    Column("end", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("target", Text),
    Column("attempts", JSON().with_variant(JSONB(), "postgresql"), nullable=False),
    Column("error", Text),
    Column("finish_reason", Text),
    Column("text_chars", Integer, nullable=False),
    Column("tool_calls", Integer, nullable=False),
    Column("resumes", Integer, nullable=False),
    Column("fillers", Integer, nullable=False),
    Column("apologised", Boolean, nullable=False),
    Column("shares", Text),
    Column("cache", Text),
    Column("traceparent", Text),
    Column("first_byte_ms", Double),
    Column("first_speakable_ms", Double),
    Column("first_sentence_ms", Double),
    Column("largest_gap_ms", Double),
    Column("overhead_ms", Double),
    Column("cancel_ms", Double),
    Column("total_ms", Double, nullable=False),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("cache_write_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("estimated", Boolean),
    Column("cost_usd", Double),
    Index("glottis_turns_conversation", "conversation_id", "id"),
    Index("glottis_turns_request", "request_id"),
)
