"""The API is what its description says: each route asked with all that schemathesis thinks of."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as rules

from mechagym.config import Settings
from mechagym.web import access
from tests.web.conftest import WRITE, Site, served
from tests.web.test_api import told

schemathesis = pytest.importorskip("schemathesis", reason="pip install 'mechagym[dev]'")
positive_data_acceptance = pytest.importorskip(
    "schemathesis.specs.openapi.checks"
).positive_data_acceptance

TOKEN = {"Authorization": f"Bearer {WRITE}"}
ENDLESS = "/api/v1/stream"


@pytest.fixture
def full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with some jobs, which never loses patience with wrong tokens."""
    monkeypatch.setattr(access, "WRONG_PER_MINUTE", 10**6)
    with served(settings, names=("testserver",)) as site:
        for name in ("one", "two"):
            site.run(told, site.store, name)
        yield site


@pytest.fixture
def api(full: Site) -> Any:
    """The description, as schemathesis reads it from the route."""
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", full.client.app, headers=TOKEN)
    return schema.exclude(path=ENDLESS)


REFUSED = [positive_data_acceptance]
"""A description cannot say which opaque cursors are of a list: 422 answers the others."""

PLAIN = rules(
    max_examples=10,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.mark.slow
@pytest.mark.must("web-34")
def test_every_route_does_what_it_says(api: Any):
    asked = 0
    for found in api.get_all_operations():
        operation = found.ok()

        @PLAIN
        @given(case=operation.as_strategy())
        def does(case: Any) -> None:
            case.call_and_validate(headers=TOKEN, excluded_checks=REFUSED)

        does()
        asked += 1
    assert asked >= 20


@pytest.mark.slow
@pytest.mark.must("web-34")
def test_routes_in_any_order_never_fail(api: Any):
    machine = api.as_state_machine()

    class Asked(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": TOKEN}

        def validate_response(self, response: Any, case: Any, *args: Any, **more: Any) -> None:
            case.validate_response(response, excluded_checks=REFUSED)

    Asked.run(settings=PLAIN)
