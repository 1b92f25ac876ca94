"""What a failed attempt means for the turn, and for the target: one table."""

from enum import Enum

from app.domain import errors
from app.domain.errors import ProviderTimeout

Next = Enum("Next", ["AGAIN", "OTHER", "NONE"])

POLICY: tuple[tuple[type[BaseException], Next], ...] = (
    (errors.ContextTooLong, Next.OTHER),
    (errors.ContentNotTaken, Next.OTHER),
    (errors.ProviderRequestRefused, Next.NONE),  # the request itself: a content policy's refusal is the answer
    (errors.ProviderTimeout, Next.OTHER),  # who was silent once is not asked again
    (errors.ProviderKeyRefused, Next.OTHER),
    (errors.ProviderNotConfigured, Next.OTHER),
    (errors.ProviderModelNotFound, Next.OTHER),
    (errors.ProviderRequestTooLarge, Next.OTHER),
    (errors.FunctionFailed, Next.OTHER),
    (errors.ProviderError, Next.AGAIN),
    (BaseException, Next.NONE),
)
"""What a failure means for the turn: ask the same target again, ask another one, or give up. The first that fits."""


BLAMELESS = (errors.ProviderRequestRefused, errors.ProviderRequestTooLarge)
"""A target that refuses a request is well."""


def policy_of(error: BaseException) -> Next:
    """Return what a failure means for the turn."""
    if isinstance(error, ProviderTimeout) and error.upstream_status is not None:
        return Next.AGAIN  # 408 or 504: it did say something
    return next(policy for kind, policy in POLICY if isinstance(error, kind))
