"""A provider that says what a test wants it to say: the engine's view of the world, without the world."""

from collections.abc import Callable, Sequence

from app.domain.events import Event, Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.domain.turn import TurnRecord

Step = Event | BaseException | Callable[[], object]


class ScriptedProvider:
    """Yields each event, raises each exception and calls each function of its script, in order.

    `then` has the scripts of its further answers; the last script goes for all that follow. `asked` is what it was
    asked, `begun` and `closed` how many of its answers were begun and are over; `offers` are its models, or what
    happens instead when it is asked for them, `listed` times so far. `thinks_s` is how long it says that it thinks,
    `heeds` whether it is told a temperature.
    """

    def __init__(
        self,
        *steps: Step,
        name: str = "scripted",
        models: Sequence[Model] | Step = (),
        then: Sequence[Sequence[Step]] = (),
    ) -> None:
        self.name = name
        self.scripts: list[Sequence[Step]] = [steps, *then]
        self.asked: list[tuple[TurnRequest, str]] = []
        self.begun = 0
        self.closed = 0
        self.listed = 0
        self.thinks_s: float | None = None
        self.offers = models
        self.heeds = True

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer by the script; see domain.ports.Provider."""
        self.asked.append((request, model))
        return self._answer(self.scripts[min(len(self.asked), len(self.scripts)) - 1])

    def first_token_s(self, request: TurnRequest, model: str) -> float | None:
        """Say how long it thinks."""
        return self.thinks_s

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """Say whether it does what it is told."""
        return self.heeds

    def models(self) -> list[Model]:
        """List the models, or do what stands in their place."""
        self.listed += 1
        if isinstance(self.offers, BaseException):
            raise self.offers
        if callable(self.offers):
            self.offers()
            return []
        assert isinstance(self.offers, Sequence)
        return list(self.offers)

    def _answer(self, steps: Sequence[Step]) -> Events:
        self.begun += 1
        try:
            for step in steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, Event):
                    yield step
                else:
                    step()
        finally:
            self.closed += 1


class Clinging(ScriptedProvider):
    """A provider whose answers fail when they are closed, as a user's own generator may."""

    def _answer(self, steps: Sequence[Step]) -> Events:
        try:
            yield from super()._answer(steps)
        finally:
            raise RuntimeError("cannot let go")


class Listener:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.records: list[TurnRecord] = []

    def turn_ended(self, record: TurnRecord) -> None:
        """Take note of a turn."""
        self.records.append(record)

    @property
    def record(self) -> TurnRecord:
        """The one record that there is."""
        (record,) = self.records
        return record
