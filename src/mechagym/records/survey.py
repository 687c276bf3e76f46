"""What a box looks like from inside, before anybody works in it: `sandbox.survey` takes it.

A field that could not be found out is empty or None; `lacks` names what was not looked at.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A language that can be used in the box. `packages` as `name==version`, at most 200."""

    name: str
    version: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFile:
    """A file or folder of the working directory, by absolute path."""

    path: str
    size_bytes: int
    mode: str = ""
    is_folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The beginning of a file, and the names in it: functions, columns or keys."""

    path: str
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The facts of one box. `env_names` never holds a value, nor a name that looks secret."""

    backend: str
    image: str
    network: str
    workdir: str
    user: str
    system: str = ""
    distribution: str = ""
    architecture: str = ""
    shell: str = ""
    languages: tuple[Language, ...] = ()
    package_managers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    files: tuple[SeenFile, ...] = ()
    files_total: int = 0
    previews: tuple[Preview, ...] = ()
    env_names: tuple[str, ...] = ()
    open_ports: tuple[int, ...] = ()
    cpus: float | None = None
    memory_mb: int | None = None
    disk_free_mb: int | None = None
    lacks: tuple[str, ...] = ()

    def language(self, name: str) -> Language | None:
        """The language of that name, if the box has it."""
        return next((found for found in self.languages if found.name == name), None)

    def text(self, limit_chars: int) -> str:
        """The facts as a model reads them, most useful first; what is left out is said."""
        lines = [*_machine(self), *_languages(self), *_files(self), *_previews(self)]
        return _cut(lines, limit_chars)


def _machine(survey: Survey) -> list[str]:
    resources = [
        f"{survey.cpus:g} CPUs" if survey.cpus is not None else "",
        f"{survey.memory_mb} MB memory" if survey.memory_mb is not None else "",
        f"{survey.disk_free_mb} MB disk free" if survey.disk_free_mb is not None else "",
    ]
    facts = {
        "Working directory": f"{survey.workdir} (user {survey.user}, shell {survey.shell or '?'})",
        "System": f"{survey.system} {survey.architecture}, {survey.distribution}".strip(" ,"),
        "Network": survey.network,
        "Resources": ", ".join(filter(None, resources)),
        "Package managers": ", ".join(survey.package_managers),
        "Tools": ", ".join(survey.tools),
        "Open ports": ", ".join(map(str, survey.open_ports)),
        "Environment variables": ", ".join(survey.env_names),
        "Not known": ", ".join(survey.lacks),
    }
    return [f"{name}: {value}" for name, value in facts.items() if value]


def _languages(survey: Survey) -> list[str]:
    found = ", ".join(f"{language.name} {language.version}" for language in survey.languages)
    packages = [
        f"{language.name} packages: {', '.join(language.packages)}"
        for language in survey.languages
        if language.packages
    ]
    return [f"Languages: {found or 'none found'}", *packages]


def _files(survey: Survey) -> list[str]:
    lines = [
        f"  {file.path}/" if file.is_folder else f"  {file.path} ({file.size_bytes} bytes)"
        for file in survey.files
    ]
    if not lines:
        return ["Files: none"]
    more = survey.files_total - len(survey.files)
    return ["Files:", *lines, *([f"  … and {more} more"] if more > 0 else [])]


def _previews(survey: Survey) -> list[str]:
    lines: list[str] = []
    for preview in survey.previews:
        names = f" [{', '.join(preview.names)}]" if preview.names else ""
        lines += [f"--- {preview.path}{names}", preview.text.rstrip("\n")]
    return lines


def _cut(lines: list[str], limit_chars: int) -> str:
    """Whole lines, each shortened where it alone is too long, and a line that says what is cut."""
    text = "\n".join(lines)
    if len(text) <= limit_chars:
        return text
    longest = max(80, limit_chars // 4)
    text = "\n".join(line if len(line) <= longest else f"{line[: longest - 1]}…" for line in lines)
    if len(text) <= limit_chars:
        return text
    notice = f"\n… ({len(text)} characters in all, cut)"
    head = text[: max(0, limit_chars - len(notice))]
    return (head.rpartition("\n")[0] + notice)[:limit_chars]
