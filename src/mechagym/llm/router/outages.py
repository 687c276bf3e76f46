"""Which providers are out for this job or build, for every role, and why.

One is out at once when its credit is used up, and after two calls that `llm/` gave up on for the
sake of the transport. A call that went well in between starts the count anew.
"""

from dataclasses import dataclass, field

FAULTS_UNTIL_OUT = 2


@dataclass(slots=True, kw_only=True)
class Outages:
    """Kept by whoever makes the calls; `disabled` is handed to the selector."""

    _out: dict[str, str] = field(default_factory=dict, init=False)
    _faults: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def disabled(self) -> frozenset[str]:
        """The providers that are out, by name."""
        return frozenset(self._out)

    @property
    def reasons(self) -> dict[str, str]:
        """Why each is out."""
        return dict(self._out)

    def credit_exhausted(self, provider: str) -> None:
        """The provider says that nothing is left to spend there."""
        self._out[provider] = "its credit is exhausted"

    def gave_up(self, provider: str) -> None:
        """A call was given up for a fault of the transport, after all its tries."""
        self._faults[provider] = self._faults.get(provider, 0) + 1
        if self._faults[provider] >= FAULTS_UNTIL_OUT:
            self._out.setdefault(provider, f"{FAULTS_UNTIL_OUT} calls in a row were given up")

    def went_well(self, provider: str) -> None:
        """A call succeeded."""
        self._faults.pop(provider, None)
