"""What alembic runs: the upgrade, in the transaction of the one who opens the store."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
