"""Every metric by its name, as data: what it counts, by which labels, in which buckets. docs/metrics.md tells the same.

A label takes few values: `route` is a route of glottis.toml or `other`, `target` is bounded by MOST_TARGETS, and the
rest are words of closed lists.
"""

from typing import Literal, NamedTuple

SILENCE_S = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0)
"""What a caller hears as silence; ElevenLabs gives up after about 4 s."""

TURN_S = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)
OWN_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""What Glottis itself may take."""


class Meter(NamedTuple):
    """One metric. `across_workers` says how the values of a gauge's workers become one; those that died never count."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across_workers: Literal["livesum", "livemax", "livemin"] = "livesum"


METERS = {
    "glottis_turns_total": Meter("counter", "Turns that ended, by what ended them.", ("route", "end")),
    "glottis_first_speakable_seconds": Meter(
        "histogram", "From the request to the first word or tool call.", ("route",), SILENCE_S
    ),
    "glottis_first_sentence_seconds": Meter(
        "histogram", "From the request to the end of the first sentence.", ("route",), SILENCE_S
    ),
    "glottis_largest_gap_seconds": Meter(
        "histogram", "The longest silence within an answer, after its first word.", ("route",), SILENCE_S
    ),
    "glottis_turn_seconds": Meter("histogram", "From the request to the end of the turn.", ("route",), TURN_S),
    "glottis_overhead_seconds": Meter(
        "histogram", "From the request to the first upstream call: Glottis' own part.", (), OWN_S
    ),
    "glottis_cancel_seconds": Meter(
        "histogram", "From the caller's going to the end of the last upstream call.", (), OWN_S
    ),
    "glottis_tokens_total": Meter("counter", "Tokens, as OpenAI counts them; failed attempts' too.", ("route", "kind")),
    "glottis_cost_usd_total": Meter("counter", "Cost by list prices, where they are known.", ("route",)),
    "glottis_attempts_total": Meter("counter", "Upstream calls, by how they went.", ("target", "outcome")),
    "glottis_fallbacks_total": Meter("counter", "Turns that another target answered than was asked first.", ("route",)),
    "glottis_resumes_total": Meter("counter", "Answers that broke off and were gone on with.", ("route",)),
    "glottis_fillers_total": Meter("counter", "Fillers said.", ("route",)),
    "glottis_apologies_total": Meter("counter", "Turns whose caller heard the apology.", ("route",)),
    "glottis_cache_total": Meter("counter", "Turns that asked the answer cache.", ("route", "result")),
    "glottis_requests_refused_total": Meter(
        "counter", "Requests refused before they became a turn, by the error's class.", ("error",)
    ),
    "glottis_turns_in_flight": Meter("gauge", "Turns that are open."),
    "glottis_connections": Meter("gauge", "Connections of clients that are open, busy or idle."),
    "glottis_workers": Meter("gauge", "Workers that are alive."),
    "glottis_store_up": Meter(
        "gauge", "1: the store answers; 0: at least one worker finds it down.", ("store",), (), "livemin"
    ),
    "glottis_breaker_state": Meter(
        "gauge", "0: asked as usual, 1: half open, 2: open. The worst of all workers.", ("target",), (), "livemax"
    ),
}

TOKENS = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "cached": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}
"""The kinds of tokens, by their field of Usage."""

OTHER = "other"
"""The value of a label whose own would be one too many."""

MOST_TARGETS = 100
"""Callers may name any model of a provider: the targets of glottis.toml have a label each, and so many more."""
