"""glottis.toml, as marshmallow checks it: every table and key that it may have, and their bounds."""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate
from marshmallow.experimental.context import Context

from app.domain.config import Target
from app.providers import function
from app.schemas.fields import Flag, Map, Number, OneOf, Whole
from app.schemas.params import ParamsSchema

Known = Context[frozenset[str]]
"""The names of all providers, while glottis.toml is read."""


class _Strict(Schema):
    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "unknown key", "type": "expected a table"}  # noqa: RUF012 (marshmallow's own way)


class _Phrases(fields.Field[tuple[str, ...]]):
    """A phrase, or several that are used in turn."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        phrases = [value] if isinstance(value, str) else value
        if not isinstance(phrases, list) or not phrases or not all(isinstance(one, str) and one for one in phrases):
            raise ValidationError("expected a phrase, or a list of them")
        return tuple(phrases)


class _BudgetSchema(_Strict):
    connect_s = Number(0.01, 600)
    first_token_s = Number(0.01, 600)
    idle_s = Number(0.01, 600)
    total_s = Number(0.1, 3600)
    retries = Whole(0, 10)
    retry_after_max_s = Number(0, 60)
    hedge_after_s = Number(0, 600)
    filler_after_s = Number(0, 600)
    filler = _Phrases()
    filler_max = Whole(1, 10)
    resume = Flag()
    apology = fields.String()
    cooldown_s = Number(0, 3600)
    cooldown_after = Whole(1, 1000)
    heartbeat_s = Number(0, 600)
    headers_after_s = Number(0.01, 600)
    beat_s = Number(0, 0.5)


class _LimitsSchema(_Strict):
    requests_per_minute = Whole(0, 10**9)
    tokens_per_minute = Whole(0, 10**9)
    turns_at_once = Whole(0, 10**6)


class _ProviderName(fields.String):
    """A provider that exists."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        name: str = super()._deserialize(value, attr, data, **kwargs)
        if name not in Known.get():
            raise ValidationError(f"there is no provider '{name}'")
        return name


class _DefaultsSchema(_Strict):
    provider = _ProviderName(validate=validate.NoneOf(["function"], error="a function needs a route"))
    budget = fields.Nested(_BudgetSchema)
    limits = fields.Nested(_LimitsSchema)


class _ProviderSchema(_Strict):
    kind = OneOf("openai", "anthropic", required=True)
    base_url = fields.Url(required=True, schemes={"http", "https"}, require_tld=False)
    # In capitals, as variables are and keys are not: the name is shown to whoever asks what is missing.
    api_key_env = fields.String(
        validate=validate.Regexp(
            r"[A-Z][A-Z0-9_]*\Z", error="expected the name of a variable in capitals, such as GROQ_API_KEY, not the key"
        )
    )

    @pre_load
    def _no_key(self, data: Any, **_: Any) -> Any:
        if isinstance(data, dict) and "api_key" in data:
            raise ValidationError("no key stands in a file: put it into a variable, named by api_key_env", "api_key")
        return data


class _Target(fields.String):
    """`provider/model` or `function:module:name`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text.startswith("function:"):
            path = text.removeprefix("function:")
            try:
                function.load(path)
            except ValueError as error:
                raise ValidationError(str(error)) from None
            return Target("function", path)
        provider, _, model = text.partition("/")
        if not (provider and model) or provider == "function":
            raise ValidationError("expected provider/model or function:module:name")
        if provider not in Known.get():
            raise ValidationError(f"there is no provider '{provider}'")
        return Target(provider, model)


class _RouteSchema(ParamsSchema, _Strict):
    prompt_caching = Flag()
    reasoning_content = Flag()
    cache_ttl_s = Number(0, 2_592_000)
    cache_any_temperature = Flag()
    budget = fields.Nested(_BudgetSchema)
    limits = fields.Nested(_LimitsSchema)
    targets = fields.List(_Target(), required=True, validate=validate.Length(min=1, error="expected at least one"))

    @pre_load
    def _one_target(self, data: Any, **_: Any) -> Any:
        # `target = "..."` is short for a list of one.
        if isinstance(data, dict) and "target" in data and "targets" not in data:
            data = {**data, "targets": [data["target"]]}
            del data["target"]
        return data


_new_name = fields.String(validate=validate.NoneOf(["local", "function"], error="this name is taken"))


class ConfigSchema(_Strict):
    """The whole file."""

    defaults = fields.Nested(_DefaultsSchema)
    providers = Map(keys=_new_name, values=fields.Nested(_ProviderSchema))
    routes = Map(keys=fields.String(), values=fields.Nested(_RouteSchema))
