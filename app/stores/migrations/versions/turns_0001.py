"""The table of turns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table and its indexes."""
    op.create_table(
        "glottis_turns",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("began_at", sa.Double, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("route", sa.Text),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("end", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("attempts", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("text_chars", sa.Integer, nullable=False),
        sa.Column("tool_calls", sa.Integer, nullable=False),
        sa.Column("resumes", sa.Integer, nullable=False),
        sa.Column("fillers", sa.Integer, nullable=False),
        sa.Column("apologised", sa.Boolean, nullable=False),
        sa.Column("shares", sa.Text),
        sa.Column("cache", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("first_byte_ms", sa.Double),
        sa.Column("first_speakable_ms", sa.Double),
        sa.Column("first_sentence_ms", sa.Double),
        sa.Column("largest_gap_ms", sa.Double),
        sa.Column("overhead_ms", sa.Double),
        sa.Column("cancel_ms", sa.Double),
        sa.Column("total_ms", sa.Double, nullable=False),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("cache_write_tokens", sa.Integer),
        sa.Column("reasoning_tokens", sa.Integer),
        sa.Column("estimated", sa.Boolean),
        sa.Column("cost_usd", sa.Double),
    )
    op.create_index("glottis_turns_conversation", "glottis_turns", ["conversation_id", "id"])
    op.create_index("glottis_turns_request", "glottis_turns", ["request_id"])


def downgrade() -> None:
    """Take the table away, with all that is in it."""
    op.drop_table("glottis_turns")
