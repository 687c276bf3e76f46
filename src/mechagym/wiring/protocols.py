"""By what a task can be wrapped, by name."""

from mechagym.cli.spelling import did_you_mean
from mechagym.errors import ConfigError
from mechagym.run.kit import MakeWrapper

TESTGEN_V2 = "testgen-v2"


def wrapper(protocol: str | None) -> MakeWrapper | None:
    """What makes the wrapper of each step; None: tasks stay as they are. Raises ConfigError."""
    if protocol is None:
        return None
    if protocol != TESTGEN_V2:
        raise ConfigError(
            f"no protocol is called {protocol!r}{did_you_mean(protocol, [TESTGEN_V2])}",
            remedy=f"there is: {TESTGEN_V2}",
        )
    from mechagym.testgen.protocol.boxes import TestgenV2

    return TestgenV2
