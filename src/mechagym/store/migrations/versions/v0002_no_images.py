"""Images are remembered where they lie, in the cache of their backend: nobody asked the store."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop the table."""
    op.drop_table("images")
