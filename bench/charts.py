"""The two charts, as SVG by hand."""

from collections.abc import Iterator
from html import escape

from bench.figures import COST, text
from bench.gateways import GLOTTIS
from bench.growth import SERIES, Series
from bench.report import best, least
from bench.run import Outcome

WIDTH = 860
LABELS = 150
BAR = 20
OURS, OTHERS = "#0b6e4f", "#9aa5b1"
LINES = (OURS, "#c4651a", "#4a5fa5")
STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:11px;fill:#555}"
    ".axis{stroke:#bbb}</style>"
)


def bars(outcome: Outcome) -> str:
    """Return the figures of CPU as bars, a panel for each; the thin line reaches to the greatest sample."""
    parts: list[str] = []
    top = 24
    for figure in COST:
        if not figure.is_cpu:
            continue
        costs = {name: best(outcome, name, figure) for name in outcome.figures}
        known = {name: cost for name, cost in costs.items() if cost is not None}
        if not known:
            continue
        parts.append(_text(0, top, f"{figure.title}, {figure.unit}", "title"))
        greatest = max(_greatest(outcome, name, figure.key) for name in known)
        scale = (WIDTH - LABELS - 60) / greatest
        for name, cost in sorted(known.items(), key=lambda row: row[1]):
            top += BAR + 6
            parts += _bar(top - BAR / 2, name, cost, _greatest(outcome, name, figure.key), scale)
        top += 40
    return _svg(top, parts)


def _greatest(outcome: Outcome, name: str, key: str) -> float:
    return max(sample for sample in outcome.figures[name][key] if sample is not None)


def _bar(top: float, name: str, cost: float, greatest: float, scale: float) -> Iterator[str]:
    colour = OURS if name == GLOTTIS.name else OTHERS
    middle, end = top + BAR / 2, LABELS + greatest * scale
    yield _text(0, middle + 4, name)
    yield f'<rect x="{LABELS}" y="{top}" width="{max(cost * scale, 1):.1f}" height="{BAR}" fill="{colour}"/>'
    yield f'<line x1="{LABELS + cost * scale:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}" stroke="{colour}"/>'
    yield _text(end + 6, middle + 4, text(cost))


PANEL_WIDTH, PANEL_HEIGHT = 400, 190


def lines(outcome: Outcome) -> str:
    """Return the four series of growth, a panel for each, from zero."""
    parts: list[str] = []
    for place, name in enumerate(outcome.growth):
        parts.append(f'<rect x="{place * 170}" y="8" width="12" height="12" fill="{LINES[place % 3]}"/>')
        parts.append(_text(place * 170 + 18, 18, name))
    for place, series in enumerate(SERIES):
        left, top = (place % 2) * (PANEL_WIDTH + 50) + 10, (place // 2) * (PANEL_HEIGHT + 80) + 60
        parts += _panel(outcome, series, left, top)
    return _svg(2 * (PANEL_HEIGHT + 80) + 40, parts)


def _panel(outcome: Outcome, series: Series, left: float, top: float) -> Iterator[str]:
    bottom = top + PANEL_HEIGHT
    curves = {
        name: [least(all_series.get(series.key, {}).get(str(point), [])) for point in series.points]
        for name, all_series in outcome.growth.items()
    }
    greatest = max((cost for curve in curves.values() for cost in curve if cost is not None), default=1.0)
    step = PANEL_WIDTH / len(series.points)
    yield _text(left, top - 14, f"ms per turn, by {series.title}", "title")
    yield f'<line class="axis" x1="{left}" x2="{left + PANEL_WIDTH}" y1="{bottom}" y2="{bottom}"/>'
    for place, point in enumerate(series.points):
        yield _text(left + step * (place + 0.5) - 10, bottom + 16, str(point), "small")
    for number, curve in enumerate(curves.values()):
        yield from _curve(
            curve, left, bottom, step, PANEL_HEIGHT / greatest * 0.9, LINES[number % 3], above=number == 0
        )


def _curve(
    curve: list[float | None], left: float, bottom: float, step: float, scale: float, colour: str, *, above: bool
) -> Iterator[str]:
    dots = [(left + step * (place + 0.5), bottom - cost * scale, cost) for place, cost in enumerate(curve) if cost]
    yield f'<polyline fill="none" stroke="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in dots)}"/>'
    for x, y, cost in dots:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        yield _text(x - 10, y - 8 if above else y + 16, text(cost), "small")


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def _svg(height: float, parts: list[str]) -> str:
    box = f"-20 -10 {WIDTH + 40} {height + 20:.0f}"
    back = f'<rect x="-20" y="-10" width="{WIDTH + 40}" height="{height + 20:.0f}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{STYLE}{back}\n' + "\n".join(parts) + "\n</svg>\n"
