"""Settings that a person saved in this store: text by name. What they mean is `config`'s matter."""

from sqlalchemy import Connection, delete, insert, select

from mechagym.records import now
from mechagym.store.tables import settings


def saved_settings(connection: Connection) -> dict[str, str]:
    """All of them."""
    return {row.key: row.value for row in connection.execute(select(settings))}


def save_setting(connection: Connection, key: str, value: str | None) -> None:
    """Keep one, or with None forget it."""
    connection.execute(delete(settings).where(settings.c.key == key))
    if value is not None:
        connection.execute(insert(settings).values(key=key, value=value, changed_at=now()))
