"""The history of the schema; alembic runs what is missing when a store is opened."""
