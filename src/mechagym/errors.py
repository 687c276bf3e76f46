"""The error tree: what can fail, who is to blame, whether to try again, whether the reward counts.

    MechagymError                blame      retry  graded   what happens to the trial
    ├── ConfigError              user       no     –        nothing starts, exit code 2
    ├── TaskError                task       no     –        the task is listed with file and line
    │   └── TaskRefused          task       no     no       `refused`: this host cannot run it
    ├── SandboxError             sandbox    yes    no       `infra_error`
    │   ├── SandboxUnusable      host       no     no       no backend: reason and remedy
    │   ├── LimitRefused         host       no     no       `refused`: enforce or refuse
    │   ├── ImageError           task       no     no       build failed, image cannot be had
    │   ├── NoSpace              host       yes    no       a disk is full, the folder is named
    │   ├── BoxDied              sandbox    yes    no       the machine went away
    │   └── TransferRefused      agent      no     no       what came out of a box was hostile
    ├── ModelError               model      no     no       a provider failed for good
    ├── AgentError               agent      no     yes      graded where the verifier ran
    │   └── AgentSetupError      agent      no     no       it could not even be prepared
    ├── VerifierError            verifier   yes    no       no trustworthy reward: `infra_error`
    ├── BudgetError              user       no     –        a limit is not one (negative, unknown)
    │   ├── BudgetExhausted      user       no     yes      `budget_exhausted`
    │   └── PriceUnknown         user       no     no       the call is refused before it is sent
    └── StoreError               host       no     –        the record cannot be kept
        └── JobLocked            user       no     –        another live process owns this job

A class answers three questions as class attributes; an instance may answer differently only for
`retry` (a pull that got "no such image" need not be tried again). A command's non-zero exit is
data, never an error.
"""

from typing import ClassVar, Literal

Blame = Literal["user", "task", "host", "sandbox", "model", "agent", "verifier"]


class MechagymError(Exception):
    """Something a person should read: `message` says what failed and where, `remedy` what to do."""

    blame: ClassVar[Blame] = "host"
    graded: ClassVar[bool] = False
    retry: bool = False

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        reason: str | None = None,
        retry: bool | None = None,
    ) -> None:
        """`reason` is a stable word for tables and tests (`reward_missing`); default: the class."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.reason = reason or type(self).__name__
        if retry is not None:
            self.retry = retry

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class ConfigError(MechagymError):
    """A command line, a settings file or a job file asks for something that does not exist."""

    blame = "user"


class TaskError(MechagymError):
    """A task folder or dataset cannot be read; the message starts with `file[:line]`."""

    blame = "task"


class TaskRefused(TaskError):
    """The task is fine, but this host cannot give what it needs; nothing was started."""


class SandboxError(MechagymError):
    """A backend or a box failed in a way that says nothing about the agent."""

    blame: ClassVar[Blame] = "sandbox"
    retry = True


class SandboxUnusable(SandboxError):
    """No box can be had from this backend on this host."""

    blame = "host"
    retry = False


class LimitRefused(SandboxError):
    """A limit, network policy or isolation level that the backend cannot enforce."""

    blame = "host"
    retry = False


class ImageError(SandboxError):
    """An image could not be built, pulled or unpacked."""

    blame = "task"
    retry = False


class NoSpace(SandboxError):
    """A file system is full; the message names the folder."""

    blame = "host"


class BoxDied(SandboxError):
    """The box is gone: killed, out of memory, or its engine stopped answering."""


class TransferRefused(SandboxError):
    """An archive from a box was over its caps or tried to write outside its target."""

    blame = "agent"
    retry = False


class ModelError(MechagymError):
    """A model call failed for good: `llm/` alone retries, so nobody above does."""

    blame = "model"


class AgentError(MechagymError):
    """The agent ended by its own fault: non-zero exit, crash, silence, broken output."""

    blame = "agent"
    graded = True


class AgentSetupError(AgentError):
    """The agent could not be made ready in the box."""

    graded = False


class VerifierError(MechagymError):
    """The task's tests gave no reward that can be trusted."""

    blame = "verifier"
    retry = True


class BudgetError(MechagymError):
    """A budget that makes no sense; also the base of the errors that no handler retries."""

    blame = "user"


class BudgetExhausted(BudgetError):
    """A reservation would exceed a limit of this meter or of one above it."""

    graded = True


class PriceUnknown(BudgetError):
    """Nobody said what a call would cost, so it is not made; the remedy names the line to add."""


class StoreError(MechagymError):
    """The store cannot be opened, read or written."""


class JobLocked(StoreError):
    """Another live process owns the job; the message gives its pid and host."""

    blame = "user"
