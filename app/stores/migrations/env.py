"""What Alembic runs for each command: the migrations, on the connection that it was given."""

from alembic import context

from app.stores.records.table import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transaction_per_migration=False,
)
context.run_migrations()
