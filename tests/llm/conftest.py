"""What all tests of models share."""

import pytest


@pytest.fixture(autouse=True)
def no_provider_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches a real provider; `parts.bench` opens the library for its loopback double."""
    models = pytest.importorskip("pydantic_ai.models")
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", False)
