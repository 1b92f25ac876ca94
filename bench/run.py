"""A run: every gateway in turn, and that several times over, so that a disturbance hits all alike."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import growth, machine, native, trials
from bench.figures import COST, text
from bench.gateways import Gateway
from bench.running import NotHealthyError, Running
from bench.trials import Effort, Stage

Samples = dict[str, list[float | None]]


@dataclass
class Outcome:
    """All that was measured: samples by gateway and figure, growth by gateway, series and point."""

    machine: dict[str, str]
    effort: str
    noise: str = ""
    versions: dict[str, str | None] = field(default_factory=dict)
    figures: dict[str, Samples] = field(default_factory=dict)
    growth: dict[str, dict[str, Samples]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)


class Run:
    """The order of work."""

    def __init__(self, gateways: list[Gateway], effort: Effort) -> None:
        self._gateways = gateways
        self._effort = effort
        rounds = f"{effort.rounds} rounds, {min(effort.rounds, effort.peer_rounds)} of the other gateways"
        said = f"{rounds}; {effort.turns} turns and {effort.requests} requests for each figure of a round"
        self.outcome = Outcome(machine.describe(), said)

    def measure(self, grown: list[Gateway], times: int) -> Outcome:
        """Measure the figures of all, then the growth of some, so many times."""
        noise = machine.Noise()
        self.outcome.versions = {gateway.name: gateway.version() for gateway in self._gateways}
        installed = [gateway for gateway in self._gateways if self.outcome.versions[gateway.name]]
        with tempfile.TemporaryDirectory() as name:
            self._programs = Path(name)
            native.build(self._programs)
            for number in range(self._effort.rounds):
                for gateway in installed:
                    if gateway.is_peer and number >= self._effort.peer_rounds:
                        continue
                    self._say(f"round {number + 1} of {self._effort.rounds}: {gateway.name}")
                    self._visit(gateway, self._figures)
            for number in range(times):
                for gateway in grown:
                    self._say(f"growth, {number + 1} of {times}: {gateway.name}")
                    self._visit(gateway, self._growth)
        self.outcome.noise = noise.describe()
        return self.outcome

    def _visit(self, gateway: Gateway, measure: Any) -> None:
        """Start a gateway and all around it, measure, and end everything."""
        faults = self.outcome.faults.setdefault(gateway.name, [])
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            upstream = native.Upstream(self._programs)
            try:
                running = Running(gateway, upstream, folder)
                try:
                    stage = Stage(running, upstream, native.Load(self._programs, folder), self._effort, faults)
                    measure(gateway.name, stage)
                finally:
                    running.close()
            except NotHealthyError as error:
                faults.append(f"did not start: {str(error).strip().splitlines()[-1:]}")
            finally:
                upstream.close()

    def _figures(self, name: str, stage: Stage) -> None:
        samples = self.outcome.figures.setdefault(name, {})
        found = trials.run_all(stage)
        for key, value in found.items():
            samples.setdefault(key, []).append(value)
        self._say("  " + ", ".join(f"{figure.key} {text(found.get(figure.key))}" for figure in COST if figure.is_cpu))

    def _growth(self, name: str, stage: Stage) -> None:
        trials.warm_up(stage)
        for series, points in growth.run_all(stage).items():
            for point, value in points.items():
                place = self.outcome.growth.setdefault(name, {}).setdefault(series, {})
                place.setdefault(point, []).append(value)

    @staticmethod
    def _say(words: str) -> None:
        print(words, flush=True)
