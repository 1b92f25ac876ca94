"""glottis.toml for the faults: a route for each of them, and those that single promises need; all budgets in tenths."""

from collections.abc import Iterator, Mapping
from typing import Any

from faults.provider import FaultyProvider
from faults.table import FAULTS
from faults.wires import WIRES
from gateway import KEY

DOWN_URL = "http://127.0.0.1:9/v1"

OTHER = {"openai": "anthropic", "anthropic": "openai"}

DEFAULTS = """
[defaults.budget]
connect_s = 0.5
first_token_s = 1.0
idle_s = 0.8
total_s = 20
retries = 1
retry_after_max_s = 0.2
cooldown_after = 1000
"""
"""No breaker, unless a route asks for one: a test must not suffer from what another has done."""

WAYS_ON = (
    *("healthy", "no-prefill", "repeats-all", "repeats-all-at-once", "repeats-five", "repeats-last"),
    *("repeats-all-spaced", "repeats-five-spaced", "repeats-last-spaced"),
)
"""Ways of a model to go on from what was said."""

CUTS = ("cut-40", "cut-in-word", "cut-after-space", "stall-20")
"""Ways to break off, each of which is followed by each of those."""


def route(name: str, *targets: str, **budget: Any) -> str:
    """Write a route as glottis.toml has it."""
    listed = ", ".join(f'"{target}"' for target in targets)
    lines = [f'[routes."{name}"]', f"targets = [{listed}]"]
    if budget:
        lines.append(f'[routes."{name}".budget]')
        lines += [f"{key} = {_toml(value)}" for key, value in budget.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def routes() -> Iterator[str]:
    """Write every route. `one-WIRE-FAULT` has one target alone; `WIRE-FAULT` falls back to the other wire format."""
    for wire in WIRES:
        for fault in FAULTS:
            yield route(f"one-{wire}-{fault}", f"{wire}/{fault}")
            yield route(f"{wire}-{fault}", f"{wire}/{fault}", f"{OTHER[wire]}/healthy")
            yield route(f"sorry-{wire}-{fault}", f"{wire}/{fault}", apology="I am sorry, please call again.")
        for fallback in (*WAYS_ON, "counted"):
            for fault in CUTS:
                targets = (f"{wire}/{fault}", f"{OTHER[wire]}/{fallback}")
                yield route(f"{wire}-{fault}-then-{fallback}", *targets, retries=0)
    for name, (targets, budget) in SPECIAL.items():
        yield route(name, *targets, **budget)


PATIENT = {"first_token_s": 10, "idle_s": 10, "connect_s": 10, "retry_after_max_s": 10}

SPECIAL: Mapping[str, tuple[list[str], dict[str, Any]]] = {
    # Failures that no other target hides.
    "both-fail": (["openai/429-always-later", "anthropic/503-always"], {}),
    "refused-after-429": (["anthropic/429-always-later", "openai/401"], {}),
    "three-fail": (["anthropic/silent", "openai/reset", "down/any"], {}),
    "sorry-both": (["openai/503-always", "anthropic/silent"], {"apology": "I am sorry, please call again."}),
    "many-retries": (["openai/500-always"], {"retries": 10, "total_s": 4.0}),
    "no-retries": (["openai/500-once", "anthropic/healthy"], {"retries": 0}),
    "unreachable": (["down/any", "openai/healthy"], {}),
    "unanswering": (["unanswering/any", "openai/healthy"], {"connect_s": 0.3, "first_token_s": 10}),
    "flood": (["openai/flood"], {"total_s": 1.0}),
    "flood-of-thoughts": (["openai/flood-of-thoughts", "anthropic/healthy"], {"first_token_s": 0.8, "retries": 0}),
    "short": (["openai/endless"], {"total_s": 1.0}),
    # Resuming.
    "no-resume": (["openai/cut-40-once", "anthropic/healthy"], {"resume": False}),
    "cut-twice": (["openai/cut-40", "anthropic/cut-40"], {"retries": 0}),
    "cut-then-mute": (["openai/cut-40", "anthropic/role-only", "openai/healthy"], {"retries": 0}),
    "cut-then-401": (["openai/cut-40", "anthropic/401", "openai/healthy"], {"retries": 0}),
    "tool-then": (["openai/words-then-tool-cut", "anthropic/healthy"], {}),
    # Hedging.
    "hedge": (["openai/silent", "anthropic/healthy"], {"hedge_after_s": 0.2, "first_token_s": 10}),
    "hedge-late": (["openai/late-token", "anthropic/silent"], {"hedge_after_s": 0.2, "first_token_s": 10}),
    "hedge-fast": (["openai/healthy", "anthropic/healthy"], {"hedge_after_s": 0.5}),
    "hedge-fails": (["openai/late-token", "anthropic/401"], {"hedge_after_s": 0.2, "first_token_s": 10}),
    "hedge-both-fail": (["openai/silent", "anthropic/503-always"], {"hedge_after_s": 0.2, "first_token_s": 0.6}),
    "hedge-alone": (["openai/late-token"], {"hedge_after_s": 0.2, "first_token_s": 10}),
    "hedge-tool": (["openai/silent", "anthropic/tool"], {"hedge_after_s": 0.2, "first_token_s": 10}),
    "hedge-cut": (["openai/silent", "anthropic/cut-40-once"], {"hedge_after_s": 0.2, "first_token_s": 10}),
    # Fillers.
    "filler": (["openai/late-token"], {"filler_after_s": 0.3, "first_token_s": 10}),
    "filler-list": (
        ["openai/late-token"],
        {"filler_after_s": 0.3, "first_token_s": 10, "filler": ["One... ", "Two... ", "Three... "], "filler_max": 2},
    ),
    "filler-fast": (["openai/healthy"], {"filler_after_s": 0.5}),
    "filler-stall": (["openai/stall-20", "anthropic/late-token"], {"filler_after_s": 0.2, "first_token_s": 10}),
    "filler-cut": (["openai/late-cut", "anthropic/healthy"], {"filler_after_s": 0.2, "first_token_s": 10}),
    "filler-tool": (["openai/late-tool"], {"filler_after_s": 0.3, "first_token_s": 10, "idle_s": 10}),
    "filler-fails": (["openai/silent", "anthropic/503-always"], {"filler_after_s": 0.2}),
    "filler-falls-back": (["openai/silent", "anthropic/healthy"], {"filler_after_s": 0.2}),
    "filler-sorry": (["openai/silent"], {"filler_after_s": 0.2, "apology": "I am sorry, please call again."}),
    # Headers and heartbeats.
    "headers": (["openai/late-token"], {"headers_after_s": 0.3, "first_token_s": 10}),
    "headers-fail": (["openai/silent"], {"headers_after_s": 0.2}),
    "heartbeat": (["openai/late-token"], {"headers_after_s": 0.2, "heartbeat_s": 0.2, "first_token_s": 10}),
    "heartbeat-stall": (["openai/stall-20", "anthropic/healthy"], {"heartbeat_s": 0.1, "headers_after_s": 0.1}),
    "heartbeat-early": (["openai/late-token"], {"heartbeat_s": 0.2, "first_token_s": 10}),
    # Breaking the circuit. Each has targets of its own.
    **{
        f"breaker-{name}": ([f"openai/healthy@{name}", f"anthropic/healthy@{name}"], {"retries": 0, **budget})
        for name, budget in {
            "opens": {"cooldown_after": 3, "cooldown_s": 600},
            "row": {"cooldown_after": 3, "cooldown_s": 600},
            "recovers": {"cooldown_after": 3, "cooldown_s": 0.6},
            "probes": {"cooldown_after": 3, "cooldown_s": 2.0, "first_token_s": 10},
            "all": {"cooldown_after": 2, "cooldown_s": 600},
            "gone": {"cooldown_after": 2, "cooldown_s": 600},
            "too-long": {"cooldown_after": 2, "cooldown_s": 600},
        }.items()
    },
    # Barging in.
    "gone-connecting": (["unanswering/any", "openai/healthy"], PATIENT),
    **{f"gone-{wire}-{fault}": ([f"{wire}/{fault}"], PATIENT) for wire in WIRES for fault in ("silent", "role-only")},
    **{f"gone-{wire}-stall": ([f"{wire}/stall-20"], PATIENT) for wire in WIRES},
    "gone-hedged": (["openai/silent", "anthropic/role-only"], {**PATIENT, "hedge_after_s": 0.03}),
    "gone-back-off": (["openai/429-wait", "anthropic/healthy"], PATIENT),
    "gone-fallback": (["openai/401", "anthropic/silent"], PATIENT),
    "gone-resuming": (["openai/cut-40", "anthropic/silent"], {**PATIENT, "retries": 0}),
    "gone-heartbeat-silent": (["openai/silent"], {**PATIENT, "headers_after_s": 0.02, "heartbeat_s": 0.02}),
    "gone-heartbeat": (["openai/stall-20"], {**PATIENT, "headers_after_s": 0.05, "heartbeat_s": 0.05}),
    "gone-filler": (["openai/silent"], {**PATIENT, "filler_after_s": 0.02}),
    # Storms: the scripts are the tests' own.
    "storm": (["openai/storm"], PATIENT),
    "storm-fails": (["openai/500-once"], {"retries": 0}),
}

KEYS = {"tester": KEY, "other": "other-key-0123456789"}


def config(unanswering_url: str = DOWN_URL) -> str:
    """Write glottis.toml."""
    places = {"down": DOWN_URL, "unanswering": unanswering_url}
    tables = [f'[providers.{name}]\nkind = "openai"\nbase_url = "{url}"\n' for name, url in places.items()]
    return "\n".join([DEFAULTS, *tables, *routes()])


def environment(provider: FaultyProvider) -> dict[str, str]:
    """Where the providers are, and who may call."""
    return {
        "API_KEYS": ",".join(f"{name}:{key}" for name, key in KEYS.items()),
        "OPENAI_API_KEY": provider.openai.key,
        "OPENAI_BASE_URL": provider.openai.base_url,
        "ANTHROPIC_API_KEY": provider.anthropic.key,
        "ANTHROPIC_BASE_URL": provider.anthropic.base_url,
    }
