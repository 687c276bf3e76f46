"""Which models a job may name: read, known, not retired and with an address, before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from mechagym.errors import ConfigError
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.names import ModelName, read_model
from mechagym.llm.providers import Provider
from mechagym.llm.router.file import ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The models a person named: for everything, and by role. `warnings` are for them to read."""

    models: tuple[ModelName, ...] = ()
    roles: Mapping[str, ModelName] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What there is to name on a day."""

    catalogue: Catalogue
    providers: Mapping[str, Provider]
    aliases: Mapping[str, str]
    today: date

    def asked(self, texts: Sequence[str]) -> Asked:
        """Read what stands behind `--model`: `MODEL` or `ROLE=MODEL`, several times.

        Raises ConfigError for what is no model, unknown, retired or without an address.
        """
        models: dict[ModelName, None] = {}
        roles: dict[str, ModelName] = {}
        warnings: dict[str, None] = {}
        for text in texts:
            role, equals, model = text.partition("=")
            name, warning = self.admit(model if equals else text)
            if equals:
                roles[_role(role)] = name
            else:
                models[name] = None
            if warning:
                warnings[warning] = None
        return Asked(models=tuple(models), roles=roles, warnings=tuple(warnings))

    def admit(self, text: str) -> tuple[ModelName, str | None]:
        """Read one model; gives a warning where it is soon retired. Raises ConfigError."""
        name = self.read(text)
        provider = self.providers[name.provider]
        if provider.base_url is None and provider.wire != "none":
            raise ConfigError(
                f"{name}: the provider `{provider.name}` has no address",
                remedy=f"set {provider.name.upper()}_BASE_URL, or base_url in"
                f" [llm.providers.{provider.name}] of the settings",
                reason="no_address",
            )
        return name, self.catalogue.admit(name, provider, today=self.today)

    def read(self, text: str) -> ModelName:
        """Read a name or an alias. Raises ConfigError with the nearest ids."""
        if text in self.aliases or text.partition(":")[0] in self.providers:
            return read_model(text, aliases=self.aliases, known=(), providers=self.providers)
        known = self.catalogue.suggestions(self.today)
        return read_model(text, aliases=self.aliases, known=known, providers=self.providers)


def _role(text: str) -> str:
    if text not in ROLES:
        raise ConfigError(
            f"{text!r} is no role of a model", remedy=f"there are: {', '.join(ROLES)}"
        )
    return text
