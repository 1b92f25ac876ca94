"""What Prometheus is told: counters and histograms of the turns that ended, and gauges that are samples.

Under gunicorn each worker writes into files of its own in PROMETHEUS_MULTIPROC_DIR (gunicorn.conf.py sets it), and
whichever worker is asked adds up all of them. What a worker counted stays when it dies; its gauges go with it. Without
that variable there is one process, and its memory.
"""

import os
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, NoReturn, get_args

import gevent
from gevent.threadpool import ThreadPool
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from app.domain.events import Usage
from app.domain.turn import End, Outcome, TurnRecord
from app.telemetry.meters import METERS, MOST_TARGETS, OTHER, TOKENS, Meter

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each, which several workers do not have anyway

SAMPLE_S = 1.0
"""A gauge is not older than this."""

Source = Callable[[], float | Mapping[str, float]]
"""A gauge's value at the moment; of one with a label, the value for each of the label's."""


class Metrics:
    """An observer of turns, whose figures can be read in Prometheus' own formats.

    A turn costs about 45 us in several workers, 25 in one: the series of a route are looked up once.
    """

    def __init__(self, routes: Collection[str], targets: Collection[str]) -> None:
        """Take the names of the configured routes and targets, which are the values of those labels."""
        self._registry = CollectorRegistry()
        self._meters = {name: _made(name, meter, self._registry) for name, meter in METERS.items()}
        self._routes = dict.fromkeys(routes, None) | {OTHER: None}
        self._series: dict[str, _Route] = {}
        self._targets = set(targets)
        self._most_targets = len(self._targets) + MOST_TARGETS
        self._attempts: dict[str, dict[Outcome, Counter]] = {}
        self._sources: dict[str, Source] = {"glottis_workers": lambda: 1}
        self._sampled: dict[str, set[str]] = {}

    def turn_ended(self, record: TurnRecord) -> None:
        """Count a turn; see domain.ports.Observer."""
        route = record.route if record.route in self._routes else OTHER
        series = self._series.get(route)
        if series is None:
            series = self._series[route] = _Route(route, self._meters)
        series.count(record)
        if _tells_costs(record):
            for attempt in record.attempts:
                self._outcomes(attempt.target)[attempt.outcome].inc()

    def refused(self, error: str) -> None:
        """Count a request that became no turn, by the name of its error's class."""
        self._meters["glottis_requests_refused_total"].labels(error).inc()

    def watch(self, name: str, source: Source) -> None:
        """Let this gauge have its values from here."""
        self._sources[name] = source

    def start(self) -> None:
        """Sample from now on, in a worker: what other workers tell of this one is in its files."""
        self._sampler = gevent.spawn(self._keep_sampling)

    def stop(self) -> None:
        """Sample no more."""
        self._sampler.kill()

    def sample(self) -> None:
        """Set every gauge to what it is at the moment."""
        for name, source in self._sources.items():
            value = source()
            if isinstance(value, Mapping):
                self._set_each(name, value)
            else:
                self._meters[name].set(value)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the figures of all workers, with their content type, in a format that the Accept header takes.

        The addition takes 20 ms for four workers of five routes each. So it is done in a thread: no stream waits
        longer for its turn than the interpreter takes to change between threads, 5 ms.
        """
        self.sample()
        encode, content_type = choose_encoder(accept)
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder is None:
            return encode(self._registry), content_type
        return self._reader.apply(encode, (MultiProcessCollector(None, folder),)), content_type  # type: ignore[no-untyped-call]

    @cached_property
    def _reader(self) -> ThreadPool:
        return ThreadPool(1)  # of this process: made after the fork

    def _keep_sampling(self) -> NoReturn:
        while True:
            self.sample()
            gevent.sleep(SAMPLE_S)

    def _set_each(self, name: str, values: Mapping[str, float]) -> None:
        bounded: dict[str, float] = dict.fromkeys(self._sampled.get(name, ()), 0.0)
        for label, value in values.items():
            label = self._bounded(label)
            bounded[label] = max(value, bounded.get(label, value))
        for label, value in bounded.items():
            self._meters[name].labels(label).set(value)
        self._sampled[name] = set(bounded)

    def _outcomes(self, target: str) -> dict[Outcome, Counter]:
        """Return a target's counters of attempts."""
        label = self._bounded(target)
        if label not in self._attempts:
            meter = self._meters["glottis_attempts_total"]
            self._attempts[label] = {outcome: meter.labels(label, outcome) for outcome in get_args(Outcome)}
        return self._attempts[label]

    def _bounded(self, target: str) -> str:
        if target not in self._targets:
            if len(self._targets) >= self._most_targets:
                return OTHER
            self._targets.add(target)
        return target


class _Route:
    """The series of one route."""

    def __init__(self, name: str, meters: Mapping[str, Any]) -> None:
        def of_route(meter: str, *values: str) -> Any:
            return meters[meter].labels(name, *values)

        self._ends = {end: of_route("glottis_turns_total", end) for end in get_args(End)}
        self._times = [
            (of_route("glottis_first_speakable_seconds"), "first_speakable_ms"),
            (of_route("glottis_first_sentence_seconds"), "first_sentence_ms"),
            (of_route("glottis_largest_gap_seconds"), "largest_gap_ms"),
            (of_route("glottis_turn_seconds"), "total_ms"),
            (meters["glottis_overhead_seconds"], "overhead_ms"),
            (meters["glottis_cancel_seconds"], "cancel_ms"),
        ]
        self._tokens = [(of_route("glottis_tokens_total", kind), field) for kind, field in TOKENS.items()]
        self._cost = of_route("glottis_cost_usd_total")
        self._fallbacks = of_route("glottis_fallbacks_total")
        self._counts = [
            (of_route("glottis_resumes_total"), "resumes"),
            (of_route("glottis_fillers_total"), "fillers"),
            (of_route("glottis_apologies_total"), "apologised"),
        ]
        self._cache = {result: of_route("glottis_cache_total", result) for result in ("hit", "miss")}

    def count(self, record: TurnRecord) -> None:
        """Count a turn of this route."""
        self._ends[record.end].inc()
        for histogram, field in self._times:
            ms = getattr(record, field)
            if ms is not None:
                histogram.observe(ms / 1000)
        for counter, field in self._counts:
            if times := getattr(record, field):
                counter.inc(times)
        if _fell_back(record):
            self._fallbacks.inc()
        if record.cache is not None:
            self._cache[record.cache].inc()
        if record.usage is not None:
            self._pay(record.usage, record.cost_usd or 0.0)

    def _pay(self, usage: Usage, cost_usd: float) -> None:
        for counter, field in self._tokens:
            if tokens := getattr(usage, field):
                counter.inc(tokens)
        self._cost.inc(cost_usd)


def _made(name: str, meter: Meter, registry: CollectorRegistry) -> Any:
    match meter.kind:
        case "counter":
            return Counter(name, meter.about, meter.labels, registry=registry)
        case "histogram":
            return Histogram(name, meter.about, meter.labels, registry=registry, buckets=meter.buckets)
        case "gauge":
            return Gauge(name, meter.about, meter.labels, registry=registry, multiprocess_mode=meter.across_workers)


def _tells_costs(record: TurnRecord) -> bool:
    """Whether this record is the one that tells of the attempts: of turns that share an answer only one does."""
    if record.usage is not None:
        return True
    return record.shares is None and all(attempt.outcome == "failed" for attempt in record.attempts)


def _fell_back(record: TurnRecord) -> bool:
    """Whether another target answered than was asked first."""
    if record.first_speakable_ms is None or not record.attempts:
        return False
    return min(record.attempts, key=lambda attempt: attempt.began_ms).target != record.target
