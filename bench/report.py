"""results.md: the tables, from the samples."""

import statistics
from collections.abc import Iterator, Sequence

from bench.figures import ALL, COST, MANY, ROOM, TIME, Figure, text, verdict
from bench.gateways import BARE, GLOTTIS
from bench.growth import SERIES
from bench.run import Outcome

HEAD = """# What Glottis costs, and others

Measured in one run by `make bench`; [docs/performance.md](../docs/performance.md) says what the figures mean. CPU is
that of the gateway's whole process tree, of user and kernel, with one worker, and the least of all rounds; everything
else is the median of the rounds. In brackets: relative to the bare Flask relay of the same run. Times depend on the
machine; the relation does so much less.
"""


def markdown(outcome: Outcome) -> str:
    """Return the whole page."""
    return "\n".join(_lines(outcome)) + "\n"


def console(outcome: Outcome) -> str:
    """Return what the terminal shows: the tables alone."""
    return "\n".join([*_tables(outcome), *_demands(outcome), *_spread(outcome), *_faults(outcome), outcome.noise])


def _lines(outcome: Outcome) -> Iterator[str]:
    yield HEAD
    for name, value in outcome.machine.items():
        yield f"- {name}: {value}"
    yield f"- effort: {outcome.effort}"
    yield f"- noise: {outcome.noise}"
    for name, version in outcome.versions.items():
        yield f"- {name}: {version or 'not installed'}"
    yield from ("", "![CPU per turn, by gateway](results.svg)", "")
    yield from _tables(outcome)
    yield from _demands(outcome)
    yield from _growth(outcome)
    yield from _spread(outcome)
    yield from _faults(outcome)


def _tables(outcome: Outcome) -> Iterator[str]:
    groups = {"CPU": COST, "Time": TIME, "Memory and start": ROOM, "Many streams in one worker": MANY}
    for title, figures in groups.items():
        yield from (f"## {title}", "")
        yield from _table(
            ["gateway", *(f"{figure.title} ({figure.unit})" for figure in figures)], _rows(outcome, figures)
        )


def _rows(outcome: Outcome, figures: Sequence[Figure]) -> Iterator[list[str]]:
    for name, version in outcome.versions.items():
        if version is None:
            yield [name, "not installed", *[""] * (len(figures) - 1)]
        else:
            yield [name, *(_cell(outcome, name, figure) for figure in figures)]


def _cell(outcome: Outcome, name: str, figure: Figure) -> str:
    value, yardstick = best(outcome, name, figure), best(outcome, BARE.name, figure)
    if value is None or not yardstick or name == BARE.name or figure.unit == "%":
        return text(value)
    return f"{text(value)} ({text(value / yardstick)}x)"


def best(outcome: Outcome, name: str, figure: Figure) -> float | None:
    """Return the published number of a gateway."""
    return figure.best(outcome.figures.get(name, {}).get(figure.key, []))


def _demands(outcome: Outcome) -> Iterator[str]:
    """What the project demands of Glottis, beside what it has."""
    yield from ("## What is demanded of Glottis", "")
    rows = []
    for figure in ALL:
        value = best(outcome, GLOTTIS.name, figure)
        if value is not None and verdict(figure, value):
            limit = "-" if figure.must is None else f"{figure.must:g}"
            cell = _cell(outcome, GLOTTIS.name, figure)
            rows.append([figure.title, figure.unit, cell, limit, f"{figure.aim:g}", verdict(figure, value)])
    yield from _table(["figure", "unit", "Glottis", "limit", "aim", ""], rows)


def _growth(outcome: Outcome) -> Iterator[str]:
    if not outcome.growth:
        return
    yield from ("## How a turn's CPU grows", "", "![How a turn's CPU grows](growth.svg)", "")
    yield from _slopes(outcome)
    for series in SERIES:
        rows = []
        for name, all_series in outcome.growth.items():
            samples = all_series.get(series.key, {})
            rows.append([name, *(text(least(samples.get(str(point), []))) for point in series.points)])
        yield from _table([f"ms, by {series.title}", *map(str, series.points)], rows)


def _slopes(outcome: Outcome) -> Iterator[str]:
    """What a turn costs before the first chunk, and what each chunk adds: a line through the series of chunks."""
    for name, all_series in outcome.growth.items():
        costs = {int(point): least(samples) for point, samples in all_series.get("chunks", {}).items()}
        known = {point: cost for point, cost in costs.items() if cost is not None}
        if len(known) > 1:
            slope, start = statistics.linear_regression(list(known), list(known.values()))
            yield f"- {name}: {text(start)} ms a turn and {1000 * slope:.0f} µs a chunk, 50 at once"
    yield ""


def least(samples: Sequence[float | None]) -> float | None:
    """Return the least disturbed sample."""
    return min((sample for sample in samples if sample is not None), default=None)


def _spread(outcome: Outcome) -> Iterator[str]:
    """The noise: every figure's least, median and greatest sample."""
    if all(len(samples) < 2 for figures in outcome.figures.values() for samples in figures.values()):
        return
    yield from ("## Noise: least / median / greatest of the rounds", "")
    rows = []
    for figure in ALL:
        cells = [_range(outcome.figures.get(name, {}).get(figure.key, [])) for name in outcome.figures]
        rows.append([f"{figure.title} ({figure.unit})", *cells])
    yield from _table(["figure", *outcome.figures], rows)


def _range(samples: Sequence[float | None]) -> str:
    known = [sample for sample in samples if sample is not None]
    if not known:
        return "-"
    return f"{text(min(known))} / {text(statistics.median(known))} / {text(max(known))}"


def _faults(outcome: Outcome) -> Iterator[str]:
    faulty = {name: faults for name, faults in outcome.faults.items() if faults}
    if faulty:
        yield from ("## What went wrong", "")
        for name, faults in faulty.items():
            yield from (f"- {name}: {fault}" for fault in dict.fromkeys(faults))
        yield ""


def _table(head: list[str], rows: Iterator[list[str]] | list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
