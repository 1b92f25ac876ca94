"""The dashboard, the alerts and the docs speak of metrics that there are: names, labels and their values."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from gateway import ROOT

from app.domain.turn import End, Outcome
from app.telemetry.meters import METERS, TOKENS

DASHBOARD = json.loads((ROOT / "deploy/grafana/glottis.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
PAGE = ROOT / "docs/metrics.md"

VALUES: dict[str, set[str]] = {
    "end": set(get_args(End)),
    "outcome": set(get_args(Outcome)),
    "kind": set(TOKENS),
    "result": {"hit", "miss"},
}
"""Of the labels whose values are words of a closed list."""

SELECTOR = re.compile(r"(?P<name>glottis_\w+)(?:\{(?P<matchers>[^}]*)\})?")
MATCHER = re.compile(r'(?P<label>\w+)\s*(?:=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on)\s*\((?P<labels>[^)]*)\)")


def series() -> dict[str, set[str]]:
    """Return the labels of every series that Prometheus gets, by its name."""
    found: dict[str, set[str]] = {}
    for name, meter in METERS.items():
        if meter.kind == "histogram":
            found |= {f"{name}_{part}": set(meter.labels) for part in ("sum", "count")}
            found[f"{name}_bucket"] = {*meter.labels, "le"}
        else:
            found[name] = set(meter.labels)
    return found


def faults(query: str) -> list[str]:
    """Return what is wrong with a query: unknown names, labels that the metric has not, values that never come."""
    known, wrong, labels = series(), [], set()
    if query.count("(") != query.count(")") or query.count("{") != query.count("}"):
        wrong.append("brackets")
    for selector in SELECTOR.finditer(query):
        name = selector["name"]
        if name not in known:
            wrong.append(name)
            continue
        labels |= known[name]
        for matcher in MATCHER.finditer(selector["matchers"] or ""):
            label, values = matcher["label"], set(matcher["value"].split("|"))
            if label not in known[name] or not values <= VALUES.get(label, values):
                wrong.append(matcher[0])
    for grouping in GROUPING.finditer(query):
        wrong += [label for label in re.findall(r"\w+", grouping["labels"]) if label not in labels]
    return wrong


def panels() -> Iterator[dict[str, Any]]:
    """Yield the panels of the dashboard that show something."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> list[Any]:
    """Return every query of the dashboard and of the alerts, as test parameters."""
    shown = [
        pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
        for panel in panels()
        for target in panel["targets"]
    ]
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    return shown + [pytest.param(rule["expr"], id=rule["alert"]) for rule in rules]


@pytest.mark.parametrize("query", queries())
def test_every_query_can_be_answered(query: str) -> None:
    """Each metric and each label of a query exists, and a word that it asks for is one that comes."""
    assert SELECTOR.search(query)
    assert faults(query) == []


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("rate(glottis_turn_total[5m])", ["glottis_turn_total"]),
        ("glottis_first_speakable_seconds", ["glottis_first_speakable_seconds"]),
        ('glottis_turns_total{target="x"}', ['target="x"']),
        ('glottis_turns_total{end=~"completed|failed"}', ['end=~"completed|failed"']),
        ("sum by (le) (glottis_turns_total)", ["le"]),
        ("sum(glottis_workers", ["brackets"]),
    ],
)
def test_a_wrong_query_is_noticed(query: str, wrong: list[str]) -> None:
    """What no series answers to does not pass."""
    assert faults(query) == wrong


def test_every_metric_is_on_the_dashboard() -> None:
    """Nothing is measured that nobody looks at."""
    text = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    shown = {re.sub(r"_bucket$", "", selector["name"]) for selector in SELECTOR.finditer(text)}
    assert shown == set(METERS)


def test_the_dashboard_fits_together() -> None:
    """No panel has another's number or place, and each asks the Prometheus that one chooses at the top."""
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "route"}


def test_every_alert_says_what_is_the_matter() -> None:
    """Whoever is woken reads a summary, whose labels the query has."""
    for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
        assert rule["labels"]["severity"] in {"critical", "warning"}
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        kept = {label for grouping in GROUPING.finditer(rule["expr"]) for label in grouping["labels"].split(", ")}
        assert named <= kept, rule["alert"]


def test_every_metric_is_in_the_docs() -> None:
    """docs/metrics.md has each metric with its type and its labels, and no others; and every value of their words."""
    rows = re.findall(r"^\| `(glottis_\w+)` \| (\w+) \| ([^|]*)\|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    written = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}
    assert written == {name: (meter.kind, meter.labels) for name, meter in METERS.items()}
    told = {
        label: set(re.findall(r"`(\w+)`", text)) for _, _, labels, text in rows for label in VALUES if label in labels
    }
    assert all(values <= told[label] for label, values in VALUES.items() if label != "end")
