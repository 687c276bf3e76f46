"""What may be asked of us, strictly read: the body of each op, and the one way to keep it."""

from typing import Annotated, Literal

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field

from mechagym.budget import Limit
from mechagym.events import (
    CheckOp,
    Op,
    ReapOp,
    ResumeOp,
    RetryOp,
    SelfTestOp,
    SetBudgetOp,
    SetSettingOp,
    StopOp,
)
from mechagym.records import Outcome
from mechagym.web.api.shapes import AskedOut
from mechagym.web.desk import Desk

AUTHOR = "web"

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same body is the same request.",
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class _Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StopAsk(_Ask):
    """End the job; `drain` lets running trials finish."""

    kind: Literal["stop"]
    drain: bool = False

    def op(self) -> Op:
        """The op."""
        return StopOp(drain=self.drain)


class SetBudgetAsk(_Ask):
    """Change a limit of the job, up or down; null lifts it."""

    kind: Literal["set_budget"]
    limit: Limit
    value: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)] | None

    def op(self) -> Op:
        """The op."""
        return SetBudgetOp(limit=self.limit, value=self.value)


class ResumeAsk(_Ask):
    """Go on with a job that nobody runs."""

    kind: Literal["resume"]

    def op(self) -> Op:
        """The op."""
        return ResumeOp()


class RetryAsk(_Ask):
    """Try again what is not graded: all of it, or what ended with some outcomes."""

    kind: Literal["retry"]
    outcomes: list[Outcome] = Field(default=[], max_length=8)

    def op(self) -> Op:
        """The op."""
        return RetryOp(outcomes=tuple(each.value for each in self.outcomes))


class RetryOneAsk(_Ask):
    """Try this trial again."""

    kind: Literal["retry"]


class SetSettingAsk(_Ask):
    """Save a setting; null forgets it."""

    kind: Literal["set_setting"]
    key: Name
    value: Annotated[str, Field(max_length=2_000)] | None

    def op(self) -> Op:
        """The op."""
        return SetSettingOp(key=self.key, value=self.value)


class CheckAsk(_Ask):
    """Ask whether a model can be called; null: the default one and all aliases."""

    kind: Literal["check"]
    model: Name | None = None

    def op(self) -> Op:
        """The op."""
        return CheckOp(model=self.model)


class SelfTestAsk(_Ask):
    """Have a sandbox prove what it holds."""

    kind: Literal["self_test"]
    sandbox: Name | None = None

    def op(self) -> Op:
        """The op."""
        return SelfTestOp(sandbox=self.sandbox)


class ReapAsk(_Ask):
    """Remove what dead processes of ours left behind."""

    kind: Literal["reap"]

    def op(self) -> Op:
        """The op."""
        return ReapOp()


JobAsk = Annotated[StopAsk | SetBudgetAsk | ResumeAsk | RetryAsk, Field(discriminator="kind")]
HostAsk = Annotated[SetSettingAsk | CheckAsk | SelfTestAsk | ReapAsk, Field(discriminator="kind")]


async def keep(desk: Desk, key: str, op: Op, job_id: str | None = None) -> AskedOut:
    """Keep an op once for its key. Raises StoreError: `key_reused`, `job_unknown`."""
    op_id = await desk.store.put_op(job_id, op, author=AUTHOR, request_key=key)
    return AskedOut(op_id=op_id)
