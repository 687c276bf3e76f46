"""How many candidates can be afforded, and the share of the money that they may spend."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mechagym.agents.map.base import SampleRequest
from mechagym.budget import Budget, Hold, Meter
from mechagym.errors import BudgetExhausted
from mechagym.records import Spend, Usage

TURNS = 3
MONEY_SHARE = 0.4
FEWER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`n` candidates are paid by `meter`. `hold` keeps their estimate free until they begin."""

    n: int
    meter: Meter
    hold: Hold

    @property
    def reserved_usd(self) -> float:
        """What was set aside, in the ledger that is estimated."""
        return max(self.hold.want.billed_nano, self.hold.want.imputed_nano) / 1e9


@contextmanager
def afforded(request: SampleRequest) -> Iterator[Share | str]:
    """Reserve for N candidates, else for two; else say why not.

    Time: twice the estimate for N, once for two.
    """
    budget = _share_of(request.meter)
    with request.meter.spend(budget, emit=_unheard) as meter:
        yield _share(request, meter)


def _share(request: SampleRequest, meter: Meter) -> Share | str:
    left_s = request.left_s()
    checks_s = request.state.last_evaluation.duration_s if request.state.last_evaluation else 0.0
    estimate_s = TURNS * request.turn_s + checks_s
    refusal = ""
    for n, times in ((request.n, 2), (min(request.n, FEWER), 1)):
        if left_s is not None and left_s < times * estimate_s:
            refusal = f"{left_s:.0f} s are left, a candidate takes about {estimate_s:.0f} s"
            continue
        try:
            hold = meter.reserve(_times(request.turn_spend, TURNS * n))
        except BudgetExhausted as error:
            refusal = str(error)
            continue
        return Share(n=n, meter=meter, hold=hold)
    return refusal


def _share_of(meter: Meter) -> Budget:
    """Of all that is left, the part that candidates may have, by the ledger that binds."""
    left = meter.left("usd")
    if left is None:
        return Budget()
    binding: Meter | None = meter
    while binding is not None and binding.budget.usd is None:
        binding = binding.parent
    basis = binding.budget.usd_basis if binding else "billed"
    return Budget(usd=max(0.0, MONEY_SHARE * left), usd_basis=basis)


def _times(spend: Spend, n: int) -> Spend:
    usage = Usage(**{name: getattr(spend.usage, name) * n for name in Usage.__dataclass_fields__})
    return Spend(
        usage=usage, billed_nano=spend.billed_nano * n, imputed_nano=spend.imputed_nano * n
    )


def _unheard(_body: object) -> None:
    """A share that warns is no news for the trial: it is small on purpose."""
