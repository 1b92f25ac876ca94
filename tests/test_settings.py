"""Settings: environment, `.env` and glottis.toml as one value, and every mistake in them told at once."""

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.config import Budget, Route, Target, Vendor
from app.domain.limits import Limits
from app.settings import Settings, SettingsError
from app.settings.store import StoreSettings


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start each test in an empty folder and environment, and take back what a test does to it."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    os.environ.clear()
    os.environ["API_KEYS"] = "agent:key-0123456789"
    yield
    os.environ.clear()
    os.environ.update(before)


def load(config: str | None = None, **env: str) -> Settings:
    """Load the settings from this file and environment."""
    if config is not None:
        Path("glottis.toml").write_text(config, "utf-8")
    os.environ.update(env)
    return Settings.load()


def reasons(config: str | None = None, **env: str) -> list[str]:
    """Load likewise what cannot be loaded; the reasons that are given."""
    with pytest.raises(SettingsError) as caught:
        load(config, **env)
    return caught.value.reasons


def test_defaults() -> None:
    """Nothing but API_KEYS has to be set."""
    settings = load()
    assert settings.api_keys == {"agent": "key-0123456789"}
    assert settings.max_body_bytes == 4 * 1024 * 1024
    assert settings.max_tokens_limit is None
    assert settings.log.level == "info"
    assert settings.local_port == 0
    assert settings.default_provider is None
    assert settings.budget == Budget()
    assert (settings.limits, settings.trusted_hops, settings.store) == (Limits(), 0, StoreSettings())
    assert "conversation_id" in settings.conversation_id_fields
    assert (settings.vendors, settings.routes) == ({}, {})
    keys = (settings.openai_api_key, settings.anthropic_api_key)
    assert (*keys, settings.openai_base_url, settings.anthropic_base_url) == (None,) * 4


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("secret", {"key1": "secret"}),
        ("agent:secret", {"agent": "secret"}),
        (" agent : secret , other ", {"agent": "secret", "key2": "other"}),
        ("one,two", {"key1": "one", "key2": "two"}),
        ("one,,two,", {"key1": "one", "key3": "two"}),
        ("agent:with:colons", {"agent": "with:colons"}),
    ],
)
def test_api_keys(text: str, keys: dict[str, str]) -> None:
    """Each key may have a name, and a key without one is named by its place; what follows the name is the key."""
    assert load(API_KEYS=text).api_keys == keys


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_keys_no_boot(text: str) -> None:
    """Without API_KEYS the server refuses to start, and says what to set."""
    (reason,) = reasons(API_KEYS=text)
    assert reason.startswith("API_KEYS: not set")
    assert "ALLOW_ANONYMOUS=true" in reason
    assert load(API_KEYS=text, ALLOW_ANONYMOUS="true").api_keys == {}


def test_anonymous_use_is_asked_for_by_name() -> None:
    """ALLOW_ANONYMOUS=false is no permission."""
    assert "ALLOW_ANONYMOUS" in reasons(API_KEYS="", ALLOW_ANONYMOUS="false")[0]


@pytest.mark.parametrize("text", ["agent:one-secret,agent:other-secret", "agent:,b:one-secret", ":one-secret"])
def test_no_key_is_lost_silently(text: str) -> None:
    """A key that would be forgotten is reported, because its agent would be mute; no key is told."""
    (reason,) = reasons(API_KEYS=text)
    assert reason.startswith("API_KEYS: ")
    assert "secret" not in reason


def test_the_environment() -> None:
    """What an operator sets is what the server gets; empty strings are as good as nothing."""
    settings = load(
        OPENAI_API_KEY="sk-1",
        OPENAI_BASE_URL="http://localhost:9/v1",
        ANTHROPIC_API_KEY="",
        ANTHROPIC_BASE_URL="",
        MAX_BODY_BYTES="2048",
        MAX_TOKENS_LIMIT="100",
        CONVERSATION_ID_FIELDS="call_id,UUID",
        LOCAL_PORT="8081",
        LOG_LEVEL="debug",
    )
    assert (settings.openai_api_key, settings.openai_base_url) == ("sk-1", "http://localhost:9/v1")
    assert (settings.anthropic_api_key, settings.anthropic_base_url) == (None, None)
    assert (settings.max_body_bytes, settings.max_tokens_limit, settings.local_port) == (2048, 100, 8081)
    assert settings.conversation_id_fields == ["call_id", "UUID"]
    assert settings.log.level == "debug"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_BODY_BYTES", "big"),
        ("MAX_BODY_BYTES", "10"),
        ("MAX_TOKENS_LIMIT", "0"),
        ("MAX_TOKENS_LIMIT", "1.5"),
        ("LOCAL_PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("LOG_CONTENT", "perhaps"),
        ("ALLOW_ANONYMOUS", "perhaps"),
        ("LIMIT_REQUESTS_PER_MINUTE", "-1"),
        ("LIMIT_TOKENS_PER_MINUTE", "many"),
        ("LIMIT_TURNS_AT_ONCE", "0.5"),
        ("TRUSTED_HOPS", "11"),
        ("STORE_TIMEOUT_S", "0"),
        ("STORE_FAIL_CLOSED", "perhaps"),
        ("VALKEY_URL", "localhost:6379"),
        ("VALKEY_URL", "http://localhost"),
        ("REDIS_URL", "redis://:6379"),
        ("REDIS_URL", "redis://localhost:port"),
        ("REDIS_URL", "redis://localhost/cache"),
        ("REDIS_URL", "rediss://localhost?ssl_cert_reqs=none"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("ANTHROPIC_BASE_URL", "ftp://example.com"),
        ("HSTS_S", "-1"),
        ("HEADER_TIMEOUT_S", "0"),
        ("BODY_TIMEOUT_S", "1000"),
    ],
)
def test_a_bad_variable_is_named(name: str, text: str) -> None:
    """A bad value in the environment is reported with its variable's name."""
    (reason,) = reasons(**{name: text})
    assert reason.startswith(f"{name}: ")


def test_dotenv_is_read_and_the_environment_wins() -> None:
    """`.env` beside the server fills in what the environment does not say."""
    Path(".env").write_text("OPENAI_API_KEY=sk-of-the-file\nMAX_TOKENS_LIMIT=5\n")
    settings = load(OPENAI_API_KEY="sk-of-the-environment")
    assert settings.openai_api_key == "sk-of-the-environment"
    assert settings.max_tokens_limit == 5


def test_dotenv_by_another_name() -> None:
    """GLOTTIS_DOTENV names another file, and a `.env` beside the server is then left alone."""
    Path(".env").write_text("MAX_TOKENS_LIMIT=5\n")
    Path("other.env").write_text("LOG_LEVEL=error\nVENDOR_KEY=sk-v\n")
    config = '[providers.vendor]\nkind = "openai"\nbase_url = "http://localhost:9/v1"\napi_key_env = "VENDOR_KEY"\n'
    settings = load(config, GLOTTIS_DOTENV="other.env")
    assert (settings.log.level, settings.max_tokens_limit) == ("error", None)
    assert settings.vendors["vendor"].api_key == "sk-v"


CONFIG = """
[defaults]
provider = "groq"
budget = { connect_s = 2, idle_s = 10.5 }

[providers.groq]
kind = "openai"
base_url = "https://api.groq.com/openai/v1"
api_key_env = "GROQ_API_KEY"

[providers.plain]
kind = "anthropic"
base_url = "http://localhost:8080"

[routes.receptionist]
targets = ["anthropic/claude-haiku-5-5", "openai/gpt-5.4-mini", "groq/meta/llama-4"]
temperature = 0.6
max_completion_tokens = 200
stop = ["END"]
logit_bias = { "50256" = -100 }

[routes."my.own"]
target = "function:own_agent:answer"
max_tokens = -1
budget = { idle_s = 3, filler = ["Hm... ", "One moment... "], retries = 0, resume = false, first_token_s = 9 }
"""


@pytest.fixture
def _own_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's module beside the server."""
    (tmp_path / "own_agent.py").write_text("number = 5\n\ndef answer(request):\n    yield 'Hi'\n")
    (tmp_path / "own_broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_own_agent")
def test_the_file() -> None:
    """glottis.toml sets providers, routes with their defaults, and budgets."""
    settings = load(CONFIG, GROQ_API_KEY="gsk-1")
    assert settings.default_provider == "groq"
    assert settings.budget == Budget(connect_s=2, idle_s=10.5)
    assert settings.vendors == {
        "groq": Vendor("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "gsk-1"),
        "plain": Vendor("anthropic", "http://localhost:8080"),
    }
    targets = [
        Target("anthropic", "claude-haiku-5-5"),
        Target("openai", "gpt-5.4-mini"),
        Target("groq", "meta/llama-4"),
    ]
    params = {"temperature": 0.6, "max_tokens": 200, "stop": ["END"], "logit_bias": {"50256": -100}}
    fillers = ("Hm... ", "One moment... ")
    own = Budget(connect_s=2, idle_s=3, filler=fillers, retries=0, resume=False, first_token_s=9)
    assert settings.routes == {
        "receptionist": Route(targets, params, budget=settings.budget),
        "my.own": Route([Target("function", "own_agent:answer")], budget=own),
    }


def test_the_heartbeat_may_come_from_the_environment() -> None:
    """A host that cuts silent connections sets HEARTBEAT_S; the file wins over it."""
    assert load("", HEARTBEAT_S="15").budget.heartbeat_s == 15
    assert load("[defaults.budget]\nheartbeat_s = 5", HEARTBEAT_S="15").budget.heartbeat_s == 5
    (reason,) = reasons(HEARTBEAT_S="-1")
    assert reason.startswith("HEARTBEAT_S: ")


def test_the_file_by_another_name() -> None:
    """GLOTTIS_CONFIG names the file, and its name stands in what is reported of it."""
    Path("other.toml").write_text("[defaults]\nprovider = 'local'\n")
    assert load("broken", GLOTTIS_CONFIG="other.toml").default_provider == "local"
    Path("other.toml").write_text("[defaults]\nprovider = 5\n")
    assert reasons(GLOTTIS_CONFIG="other.toml") == ["other.toml: defaults.provider: Not a valid string."]


def test_a_key_that_is_not_set_is_no_mistake() -> None:
    """A vendor whose key is missing is configured all the same: the others work without it."""
    assert load(CONFIG.partition("[routes.")[0]).vendors["groq"].api_key is None


@pytest.mark.parametrize("path", ["missing.toml", "."])
def test_a_file_that_was_named_must_be_there(path: str) -> None:
    """GLOTTIS_CONFIG that names no file is an error, unlike a glottis.toml that nobody wrote."""
    (reason,) = reasons(GLOTTIS_CONFIG=path)
    assert reason.startswith(f"{path}: ")


BAD: list[tuple[str, dict[str, str]]] = [
    ("[default]", {"default": "unknown key"}),
    ("[defaults]\nkey = 1\nvalue = 2", {"defaults.key": "unknown key", "defaults.value": "unknown key"}),
    ("defaults = 5", {"defaults": "expected a table"}),
    ("routes = 5", {"routes": "Expected an object."}),
    ('[defaults]\nprovider = "nobody"', {"defaults.provider": "there is no provider 'nobody'"}),
    ('[defaults]\nprovider = "function"', {"defaults.provider": "a function needs a route"}),
    ("[defaults.budget]\nconnect_s = 0\nidle_s = '9'", {"defaults.budget.connect_s": "", "defaults.budget.idle_s": ""}),
    ("[defaults.budget]\nfiller = []", {"defaults.budget.filler": "a phrase, or a list"}),
    ("[defaults.budget]\nfiller = ['a', 5]", {"defaults.budget.filler": "a phrase, or a list"}),
    ("[routes.a]\ntarget = 'openai/m'\nbudget = { retries = 1.5 }", {"routes.a.budget.retries": "integer"}),
    ("[routes.a]\ntarget = 'openai/m'\nbudget = { resume = 1 }", {"routes.a.budget.resume": "true or false"}),
    ("[routes.a]\ntarget = 'openai/m'\nbudget = 5", {"routes.a.budget": "expected a table"}),
    ("[providers]\na = 5", {"providers.a": "expected a table"}),
    ("[providers.a]\nkind = 'gemini'", {"providers.a.kind": "openai, anthropic", "providers.a.base_url": "required"}),
    ("[providers.a]\nkind = 'openai'\nbase_url = 'localhost:80'", {"providers.a.base_url": "Not a valid URL."}),
    ("[providers.a]\nkind = 'openai'\nbase_url = 'http://h'\napi_key = 'sk'", {"providers.a.api_key": "api_key_env"}),
    (
        "[providers.a]\nkind = 'openai'\nbase_url = 'http://h'\napi_key_env = 'gsk_1'",
        {"providers.a.api_key_env": "not the key"},
    ),
    ("[providers.local]\nkind = 'openai'\nbase_url = 'http://h'", {"providers.local": "this name is taken"}),
    ("[routes.a]", {"routes.a.targets": "required"}),
    ("[routes.a]\ntargets = []", {"routes.a.targets": "at least one"}),
    ("[routes.a]\ntargets = 'openai/gpt-5'", {"routes.a.targets": "list"}),
    ("[routes.a]\ntargets = ['openai/gpt-5', 'gpt-5']", {"routes.a.targets[1]": "expected provider/model"}),
    ("[routes.a]\ntargets = ['openai/', '/m', 5]", {f"routes.a.targets[{place}]": "" for place in range(3)}),
    ("[routes.a]\ntarget = 'nobody/m'", {"routes.a.targets[0]": "there is no provider 'nobody'"}),
    ("[routes.a]\ntarget = 'openai/m'\ntargets = ['openai/m']", {"routes.a.target": "unknown key"}),
    ("[routes.a]\ntarget = 'openai/m'\ntemperature = 3", {"routes.a.temperature": "less than or equal to 2"}),
    ("[routes.a]\ntarget = 'openai/m'\ncache_ttl_s = -1", {"routes.a.cache_ttl_s": "greater than"}),
    ("[routes.a]\ntarget = 'openai/m'\ncache_any_temperature = 'maybe'", {"routes.a.cache_any_temperature": ""}),
    ("[routes.a]\ntarget = 'openai/m'\nstream = true", {"routes.a.stream": "unknown key"}),
    ("[routes.value]\ntarget = 'openai/m'\nlogit_bias = {a = 'x'}", {"routes.value.logit_bias.a": "number"}),
    ("[routes.a]\ntarget = 'function:no_such_agent:answer'", {"routes.a.targets[0]": "no_such_agent cannot"}),
    ("[routes.a]\ntarget = 'function:own_broken:answer'", {"routes.a.targets[0]": "own_broken cannot be imported"}),
    ("[routes.a]\ntarget = 'function:own_agent:nobody'", {"routes.a.targets[0]": "nobody"}),
    ("[routes.a]\ntarget = 'function:own_agent:number'", {"routes.a.targets[0]": "is not a function"}),
    ("[routes.a]\ntarget = 'function:own_agent'", {"routes.a.targets[0]": "expected function:MODULE:NAME"}),
    ("[routes.a]\ntarget = 'function/own_agent:answer'", {"routes.a.targets[0]": "expected provider/model"}),
    ("[routes", {"": "Expected ']'"}),
    ("a = \ud800".encode("utf-8", "surrogatepass").decode("latin-1"), {"": "Invalid"}),
]


@pytest.mark.usefixtures("_own_agent")
@pytest.mark.parametrize(("config", "found"), BAD, ids=[config for config, _ in BAD])
def test_a_mistake_in_the_file(config: str, found: dict[str, str]) -> None:
    """Each mistake is told with the file, the key and the reason."""
    told = reasons(config)
    assert len(told) == len(found)
    for reason, (key, words) in zip(sorted(told), sorted(found.items()), strict=True):
        assert reason.startswith(f"glottis.toml: {key}: " if key else "glottis.toml: ")
        assert words in reason


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody has to restart the server once per mistake, wherever the mistakes are."""
    config = """
        [defaults]
        provider = "nobody"
        [providers.vendor]
        kind = "openai"
        base_url = "nowhere"
        [routes.a]
        targets = ["gpt", "nobody/m", "vendor/m"]
        temperature = "hot"
        colour = "red"
    """
    told = reasons(config, API_KEYS="", MAX_BODY_BYTES="x", LOG_LEVEL="x", OPENAI_BASE_URL="x")
    assert sorted(reason.rpartition("toml: ")[2].partition(": ")[0] for reason in told) == [
        "API_KEYS", "LOG_LEVEL", "MAX_BODY_BYTES", "OPENAI_BASE_URL", "defaults.provider", "providers.vendor.base_url",
        "routes.a.colour", "routes.a.targets[0]", "routes.a.targets[1]", "routes.a.temperature",
    ]  # fmt: skip


def test_the_message_has_a_line_for_each() -> None:
    """What the operator reads at boot is a list."""
    error = SettingsError(["A: wrong", "B: wrong too"])
    assert str(error) == "Glottis cannot start:\n  - A: wrong\n  - B: wrong too"


def test_settings_do_not_change() -> None:
    """What was read at boot holds for the life of the process."""
    settings: Any = load()
    with pytest.raises(AttributeError):
        settings.local_port = 1


SECRET = "sk-very-secret-0123456789"
VENDOR = '[providers.vendor]\nkind = "openai"\nbase_url = "http://h"\napi_key_env = "VENDOR_KEY"\n'
SECRETS = {name: f"{SECRET}-{name.lower()}" for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VENDOR_KEY")}


def test_no_key_shows_where_settings_are_shown() -> None:
    """Whoever prints the settings, or an error that holds them, prints no key; the keys themselves are whole."""
    others = dict.fromkeys(["METRICS_KEY", "RECORDS_KEY"], f"{SECRET}-other")
    others |= {"VALKEY_URL": f"valkey://:{SECRET}@h:6379", "DATABASE_URL": f"postgres://u:{SECRET}@h/db"}
    settings = load(VENDOR, API_KEYS=f"agent:{SECRET}, {SECRET}-2", **SECRETS, **others)
    assert settings.openai_api_key == SECRETS["OPENAI_API_KEY"]
    assert settings.vendors["vendor"].api_key == SECRETS["VENDOR_KEY"]
    assert settings.api_keys == {"agent": SECRET, "key2": f"{SECRET}-2"}
    shown = [repr(settings), str(settings), f"{settings}", repr(settings.vendors), repr(dict(settings.api_keys))]
    shown += [repr(getattr(settings, name)) for name in settings.__struct_fields__]
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError(settings)
    shown += traceback.format_exception(caught.value)
    assert [text for text in shown if "secret" in text] == []


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VENDOR_KEY", "API_KEYS"])
def test_a_key_that_is_none_is_not_told(name: str) -> None:
    """What is wrong with a key is said without the key, whichever it is."""
    for wrong in (f"{SECRET}\n{SECRET}", f"schl\u00fcssel-{SECRET}"):
        (reason,) = reasons(VENDOR, **{name: wrong})
        assert reason.startswith(f"{name}: ")
        assert "secret" not in reason


@pytest.mark.parametrize(
    "name",
    [
        *["MAX_BODY_BYTES", "MAX_TOKENS_LIMIT", "LOCAL_PORT", "LOG_LEVEL", "ALLOW_ANONYMOUS", "OPENAI_BASE_URL"],
        *["HSTS_S", "HEADER_TIMEOUT_S", "BODY_TIMEOUT_S", "CORS_ORIGINS", "HEARTBEAT_S"],
    ],
)
def test_a_key_in_the_wrong_place_is_not_told(name: str) -> None:
    """A key that was pasted into another variable stops the boot, and does not show in the reason."""
    (reason,) = reasons(**{name: SECRET})
    assert reason.startswith(f"{name}: ")
    assert "secret" not in reason


@pytest.mark.parametrize("line", [f'api_key = "{SECRET}"', f'api_key_env = "{SECRET}"', 'api_key_env = "gsk_secret"'])
def test_no_key_in_the_file(line: str) -> None:
    """A key in glottis.toml, wherever it stands, is refused with a word on where it belongs, and not shown."""
    (reason,) = reasons(f'[providers.vendor]\nkind = "openai"\nbase_url = "http://h"\n{line}\n')
    assert reason.startswith("glottis.toml: providers.vendor.api_key")
    assert "variable" in reason
    assert "secret" not in reason


@pytest.mark.parametrize(
    "text",
    ["https://app.example.com", "http://localhost:3000,https://a.example", "*", "https://[::1]:8443", ""],
)
def test_origins(text: str) -> None:
    """Origins as browsers send them, or all of them."""
    assert load(CORS_ORIGINS=text).clients.cors_origins == [one for one in text.split(",") if one]


@pytest.mark.parametrize(
    "text", ["app.example.com", "https://a.example/", "https://a.example/x", "null", "https://*.a.example"]
)
def test_no_origins(text: str) -> None:
    """What no browser would ever send is a mistake, which would otherwise show as a page that cannot call."""
    assert reasons(CORS_ORIGINS=text)[0].startswith("CORS_ORIGINS: Expected origins")


@pytest.mark.parametrize(
    ("env", "url", "verify"),
    [
        ({}, None, True),
        ({"VALKEY_URL": "", "REDIS_URL": " "}, None, True),
        ({"REDIS_URL": "redis://host:6379/2"}, "redis://host:6379/2", True),
        ({"REDIS_URL": "rediss://:pass@host"}, "rediss://:pass@host", True),
        ({"VALKEY_URL": "valkeys://host", "REDIS_URL": "redis://other"}, "rediss://host", True),
        # Heroku's own, whose certificate nobody has signed; any other variable is verified there too.
        ({"DYNO": "web.1", "REDIS_URL": "rediss://host"}, "rediss://host", False),
        ({"DYNO": "web.1", "VALKEY_URL": "valkeys://host", "REDIS_URL": "rediss://other"}, "rediss://host", True),
    ],
)
def test_the_store(env: dict[str, str], url: str | None, verify: bool) -> None:
    """Either variable names it, VALKEY_URL first; its certificate counts but for Heroku's own store."""
    store = load(**env).store
    assert (store.url, store.url is None or store.verify) == (url, verify)


def test_a_bad_store_is_not_repeated() -> None:
    """An address may hold a password."""
    (reason,) = reasons(VALKEY_URL="memcached://:secret@host")
    assert "secret" not in reason


def test_limits() -> None:
    """The file wins over the environment, key by key, and a route's limits are its own."""
    config = """
        [defaults.limits]
        requests_per_minute = 10
        [routes.one]
        target = "openai/gpt-4.1"
        limits = { tokens_per_minute = 5 }
        [routes.two]
        target = "openai/gpt-4.1"
    """
    settings = load(config, LIMIT_REQUESTS_PER_MINUTE="3", LIMIT_TURNS_AT_ONCE="7", OPENAI_API_KEY="sk")
    assert settings.limits == Limits(requests_per_minute=10, turns_at_once=7)
    assert settings.routes["one"].limits == Limits(tokens_per_minute=5)
    assert settings.routes["two"].limits == Limits()


@pytest.mark.parametrize("line", ["requests_per_minute = -1", "turns_at_once = 1.5", "requests_per_hour = 1"])
def test_bad_limits(line: str) -> None:
    """A wrong value or an unknown key is named with its table."""
    (reason,) = reasons(f"[defaults.limits]\n{line}\n")
    assert f"defaults.limits.{line.split()[0]}" in reason


def test_herokus_router_is_one_hop() -> None:
    """On a dyno the caller's address is the last that was forwarded, unless somebody says otherwise."""
    assert load(DYNO="web.1").trusted_hops == 1
    assert load(DYNO="web.1", TRUSTED_HOPS="2").trusted_hops == 2


def test_the_answer_cache() -> None:
    """How much it holds is bounded, and off is what a route says nothing of."""
    settings = load("[routes.a]\ntarget = 'openai/x'\n[routes.b]\ntarget = 'openai/x'\ncache_ttl_s = 60")
    assert (settings.cache.max_entries, settings.cache.max_bytes) == (10_000, 16 * 1024 * 1024)
    assert [(route.cache_ttl_s, route.cache_any_temperature) for route in settings.routes.values()] == [
        (0.0, False),
        (60.0, False),
    ]
    settings = load(CACHE_MAX_ENTRIES="5", CACHE_MAX_BYTES="2048")
    assert (settings.cache.max_entries, settings.cache.max_bytes) == (5, 2048)
    assert len(reasons(CACHE_MAX_ENTRIES="0", CACHE_MAX_BYTES="10")) == 2
