"""What workers tell each other: of answers that they share, and of targets that fail. One message is one `bytes`.

Errors travel by their class's name, with what a caller may be told of them.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from app.domain.config import Target
from app.domain.errors import GlottisError, InternalError
from app.domain.turn import Attempt
from app.engine.recording import FORMAT

VERSION = f"1-{FORMAT}"
"""Workers of another version are not listened to: during a deploy there are two fleets. Count up what comes first
when a message changes."""


class Failure(Struct, frozen=True, array_like=True):
    """A GlottisError."""

    name: str
    message: str
    param: str | None = None
    code: str | None = None
    detail: str | None = None
    retry_after_s: float | None = None
    upstream_status: int | None = None


class Ending(Struct, frozen=True, array_like=True):
    """How a shared answer ended, and what it went through; `accounts`: whoever hears this tells what it cost."""

    target: str | None
    attempts: list[Attempt]
    resumes: int
    accounts: bool
    error: Failure | None = None
    apologised_for: Failure | None = None


class Join(Struct, frozen=True, tag=True, array_like=True):
    """To who makes an answer: `worker` wants to hear it too, under this `number` of its own."""

    key: bytes
    worker: str
    number: int


class Leave(Struct, frozen=True, tag=True, array_like=True):
    """To who makes an answer: it is not listened to any more."""

    worker: str
    number: int


class Said(Struct, frozen=True, tag=True, array_like=True):
    """To who listens: events (recording.py), the first of them the answer's `at`-th; none is a sign of life.

    `request_id` is of the turn that began the answer.
    """

    number: int
    request_id: str
    at: int
    events: bytes
    ending: Ending | None = None


class NotHere(Struct, frozen=True, tag=True, array_like=True):
    """To who wants to listen: there is no such answer."""

    number: int


class Ping(Struct, frozen=True, tag=True, array_like=True):
    """Says nothing: whether it arrives is all that matters."""


class Failed(Struct, frozen=True, tag=True, array_like=True):
    """To all: a target failed, on a route with this budget."""

    worker: str
    target: Target
    cooldown_after: int
    cooldown_s: float


class Probed(Struct, frozen=True, tag=True, array_like=True):
    """To all: a turn probes a target; for so long nobody else does."""

    worker: str
    target: Target
    for_s: float


class Cleared(Struct, frozen=True, tag=True, array_like=True):
    """To all: a target answered, or (`is_well` false) its probe was left undecided."""

    worker: str
    target: Target
    is_well: bool


class Hello(Struct, frozen=True, tag=True, array_like=True):
    """To all: `worker` has begun to listen, and knows of no failures."""

    worker: str


class Known(Struct, frozen=True, tag=True, array_like=True):
    """To one that has begun to listen: what is known of a target. Times are left ones, in seconds."""

    target: Target
    failures: int
    open_s: float
    probed_s: float


Message = Join | Leave | Said | NotHere | Ping | Failed | Probed | Cleared | Hello | Known

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Message)


def decode(data: bytes) -> Message:
    """Return a message; raises msgspec.MsgspecError where it is none."""
    return _decoder.decode(data)  # type: ignore[no-any-return]


def failure_of(error: BaseException | None) -> Failure | None:
    """Return an error as it can be told; one that is none of ours is told as an InternalError."""
    if error is None:
        return None
    ours = error if isinstance(error, GlottisError) else InternalError(detail=type(error).__name__)
    fields = (ours.param, ours.code, ours.detail, ours.retry_after_s, ours.upstream_status)
    return Failure(ours.name, ours.message, *fields)


def error_of(failure: Failure) -> GlottisError:
    """Return the error that was told of."""
    kind = next((kind for kind in _tree(GlottisError) if kind.__name__ == failure.name), InternalError)
    return kind(
        failure.message,
        param=failure.param,
        code=failure.code,
        detail=failure.detail,
        retry_after_s=failure.retry_after_s,
        upstream_status=failure.upstream_status,
    )


def _tree(kind: type[GlottisError]) -> Iterator[type[GlottisError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
