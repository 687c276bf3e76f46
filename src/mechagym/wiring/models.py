"""What this host knows of models: which there are, what they cost, and the keys for them."""

from pathlib import Path

from mechagym.config import Settings
from mechagym.llm.admission import Admission
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.claude_login import ClaudeLogin
from mechagym.llm.credentials import Credentials
from mechagym.llm.kept import kept_lists, kept_prices
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.router.file import load_models
from mechagym.records import now
from mechagym.run.config import JobConfig


def catalogue(settings: Settings) -> Catalogue:
    """What is known of models on this host: the user's file, kept lists, what we ship."""
    lists = kept_lists(settings.cache_dir / "models")
    return Catalogue.load(settings.config_dir / "catalogue.yaml", *lists)


def admission(settings: Settings) -> Admission:
    """What models there are to name today."""
    return Admission(
        catalogue=catalogue(settings),
        providers=settings.llm.providers,
        aliases=load_models(settings.config_dir / "models.yaml").aliases,
        today=now().date(),
    )


def prices(settings: Settings) -> PriceTable:
    """What models cost on this host: the project's file, the user's, kept lists, what we ship."""
    return PriceTable.load(
        Path("pricing.yaml"),
        settings.config_dir / "pricing.yaml",
        *kept_prices(settings.cache_dir / "models"),
        free=[name for name, p in settings.llm.providers.items() if p.price == "free"],
    )


def credentials(settings: Settings) -> Credentials:
    """The keys of this host, and the login of Claude Code where the settings allow it."""
    allowed = settings.llm.credential == "claude-code"
    login = ClaudeLogin(environ=settings.environ, home=Path.home()) if allowed else None
    return Credentials(environ=settings.environ, login=login)


def models_of(config: JobConfig) -> list[ModelName]:
    """The models that trials of the job have, those of single roles too."""
    named = [model for model in config.models if model] + list(config.role_models.values())
    return [ModelName.of(model) for model in dict.fromkeys(named)]
