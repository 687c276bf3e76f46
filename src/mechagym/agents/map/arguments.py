"""The arguments of the six tools, one typed value each; their docstrings are what a model reads.

These classes are the schemas: flat, nothing beside the named fields, required ones first.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

COMMAND_S = 120
COMMAND_MAX_S = 1_200


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _can_be_sent(cls, value: object, info: ValidationInfo) -> object:
        """No box takes half a character, nor a NUL in what is a word of a command."""
        if isinstance(value, str):
            if "\0" in value and info.field_name in ("path", "command"):
                raise ValueError("it holds a NUL character")
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError("it holds a lone surrogate, which is no character")
        return value


class ReadFile(_Arguments):
    """Read a text file; lines are numbered. A binary file is described, an image is shown."""

    path: str = Field(description="absolute, or relative to the working directory")
    start_line: int | None = Field(default=None, ge=1, description="first line to read, from 1")
    end_line: int | None = Field(default=None, ge=1, description="last line to read, included")


class WriteFile(_Arguments):
    """Write a whole text file, byte for byte as given. Makes folders above it; replaces a file."""

    path: str = Field(description="absolute, or relative to the working directory")
    content: str = Field(description="all of the file; nothing is added, not even a last newline")


class EditFile(_Arguments):
    """Replace text in a file. The old text must occur exactly once, unless replace_all is true."""

    path: str = Field(description="absolute, or relative to the working directory")
    old_text: str = Field(min_length=1, description="exactly as in the file, indentation included")
    new_text: str = Field(description="what stands there afterwards")
    replace_all: bool = Field(default=False, description="replace every occurrence")


class RunCommand(_Arguments):
    """Run a shell command (bash, else sh) and get its output and exit code.

    The working directory persists between calls, variables do not. Standard input is closed:
    nothing can be asked. A command that takes too long is ended and its output so far returned.
    """

    command: str = Field(min_length=1, description="the command line, several lines if need be")
    timeout_s: int = Field(
        default=COMMAND_S, ge=1, le=COMMAND_MAX_S, description="end it after so many seconds"
    )
    background: bool = Field(
        default=False,
        description="start it and return at once with its pid and the file of its output: for"
        " servers and services",
    )


class VerifyProgress(_Arguments):
    """Run the checks of this work now and see which fail. They also run by themselves."""


class TaskComplete(_Arguments):
    """Say that the work is done. It is checked before it is accepted."""

    summary: str = Field(description="what was done, in a few sentences")
    confirm: bool = Field(default=False, description="true once the checklist was gone through")


ToolArgs = ReadFile | WriteFile | EditFile | RunCommand | VerifyProgress | TaskComplete

TOOLS: dict[str, type[ToolArgs]] = {
    "read_file": ReadFile,
    "write_file": WriteFile,
    "edit_file": EditFile,
    "run_command": RunCommand,
    "verify_progress": VerifyProgress,
    "task_complete": TaskComplete,
}
"""By the names that models know, in the order they are offered."""
