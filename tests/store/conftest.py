"""Stores to test on: every test that takes `url` runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.store.postgres import postgres_server

_names = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A private server for the whole run."""
    with postgres_server() as template:
        yield template


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """A fresh database on the private server."""
    import psycopg

    name = f"store{next(_names)}"
    admin = postgres.format(name="postgres").replace("+psycopg", "")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.format(name=name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh file."""
    return f"sqlite:///{tmp_path / 'store' / 'mechagym.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.live)])
def url(request: pytest.FixtureRequest) -> str:
    """A fresh store of each kind."""
    found = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(found, str)
    return found
