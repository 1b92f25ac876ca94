"""Every exception of the anthropic SDK has a name in the domain; a new one in the SDK makes this fail."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import anthropic
import httpx2
import pytest

from app.domain import errors
from app.providers.anthropic.errors import name_error

REQUEST = httpx2.Request("POST", "https://api.anthropic.com/v1/messages")

STATUSES: dict[int, tuple[type[errors.ProviderError], set[str]]] = {
    400: (
        errors.ProviderRequestRefused,
        {
            *("BadRequestError", "CMEKContextUnavailableError", "CMEKKeyDisabledError", "CMEKKeyNetworkBlockedError"),
            *("CMEKKeyUnreachableError", "ClaudeCodeVersionTooOldError", "ParentOrganizationRequiredError"),
            *("RequestBodyEncodingInvalidError", "RequestBodyEncodingUnsupportedError"),
        },
    ),
    401: (errors.ProviderKeyRefused, {"AuthenticationError"}),
    402: (
        errors.ProviderKeyRefused,
        {
            *("PaymentRequiredError", "LinkedOrganizationBillingUnavailableError"),
            *("LinkedOrganizationSpendLimitReachedError",),
        },
    ),
    403: (
        errors.ProviderKeyRefused,
        {
            *("PermissionDeniedError", "ClaudeCodeKeyCreatorNotMemberError", "OrganizationOnHoldError"),
            *("OrganizationTypeNotSupportedError", "SandboxEgressRestrictedError"),
        },
    ),
    404: (errors.ProviderModelNotFound, {"NotFoundError"}),
    408: (errors.ProviderTimeout, {"RequestTimeoutError"}),
    409: (errors.ProviderError, {"ConflictError"}),
    412: (errors.ProviderError, {"PreconditionFailedError"}),
    413: (
        errors.ProviderRequestTooLarge,
        {"ContentTooLargeError", "RequestTooLargeError", "RequestBodyTooLargeAfterDecodingError"},
    ),
    422: (errors.ProviderRequestRefused, {"UnprocessableEntityError"}),
    429: (
        errors.ProviderRateLimited,
        {
            *("RateLimitError", "RampLimitExceededError"),
            *("ContractSpendLimitReachedError", "EnforcedSpendLimitReachedError"),
        },
    ),
    431: (errors.ProviderError, {"RequestHeaderFieldsTooLargeError"}),
    499: (errors.ProviderError, {"ClientClosedRequestError"}),
    500: (errors.ProviderError, {"InternalServerError", "APIStatusError"}),
    501: (errors.ProviderError, {"HTTPNotImplementedError"}),
    503: (errors.ProviderOverloaded, {"ServiceUnavailableError"}),
    504: (errors.ProviderTimeout, {"GatewayTimeoutError", "DeadlineExceededError"}),
    529: (errors.ProviderOverloaded, {"OverloadedError"}),
}
"""The exceptions that stand for a status, by the status."""

OTHERS: dict[str, tuple[Exception, type[errors.ProviderError]]] = {
    "APIError": (anthropic.APIError("sk-ant-1234", REQUEST, body=None), errors.ProviderError),
    "APIConnectionError": (anthropic.APIConnectionError(request=REQUEST), errors.ProviderUnreachable),
    "APITimeoutError": (anthropic.APITimeoutError(REQUEST), errors.ProviderTimeout),
    "APIResponseValidationError": (
        anthropic.APIResponseValidationError(httpx2.Response(200, request=REQUEST), None),
        errors.ProviderBroken,
    ),
    "APIWebhookValidationError": (
        anthropic.APIWebhookValidationError("sk-ant-1234", REQUEST, body=None),
        errors.ProviderError,
    ),
    **{
        name: (getattr(anthropic, name)("at https://x/y with sk-ant-1234"), errors.ProviderError)
        for name in (
            *("AnthropicError", "RetryableError", "CredentialsError", "IdentityTokenFileError"),
            *("WorkloadIdentityError",),
        )
    },
}


def status_error(name: str, status: int, error_code: str | None = None) -> anthropic.APIStatusError:
    """Make an exception of the SDK from an answer of the API."""
    details = {"details": {"error_code": error_code}} if error_code else {}
    body = {"type": "error", "error": {"type": "some_error", "message": "words", **details}}
    response = httpx2.Response(status, request=REQUEST, headers={"retry-after": "3"})
    made: anthropic.APIStatusError = getattr(anthropic, name)("Error code", response=response, body=body)
    return made


def everywhere() -> Iterator[type[Exception]]:
    """Every AnthropicError of every module that can be imported without extras."""
    for module in pkgutil.walk_packages(anthropic.__path__, "anthropic.", onerror=lambda name: None):
        if module.name.startswith(("anthropic._", "anthropic.lib.", "anthropic.types.shared.")):
            try:
                found = vars(importlib.import_module(module.name))
            except ImportError:
                continue
            yield from (v for v in found.values() if inspect.isclass(v) and issubclass(v, anthropic.AnthropicError))


def test_no_exception_of_the_sdk_is_unknown() -> None:
    """A class that a new version of the SDK adds has to be thought about here."""
    found = {name: getattr(anthropic, name) for name in dir(anthropic)}
    exported = {name for name, value in found.items() if inspect.isclass(value) and issubclass(value, BaseException)}
    assert exported == {name for _, names in STATUSES.values() for name in names} | set(OTHERS)


@pytest.mark.parametrize(("name", "status"), [(name, status) for status in STATUSES for name in STATUSES[status][1]])
def test_each_status_has_a_name(name: str, status: int) -> None:
    """Each exception of a status is named by it, and keeps the status and the wait."""
    named = name_error(status_error(name, status))
    assert type(named) is STATUSES[status][0]
    assert (named.upstream_status, named.retry_after_s) == (status, 3.0)
    # The words of a refusal may quote the caller's: they go to the caller, and not to the log.
    assert ("words" in named.message) is (status in (400, 413, 422))
    assert ("words" in (named.detail or "")) is (status in (401, 402, 403, 404, 429))


@pytest.mark.parametrize("name", OTHERS)
def test_each_other_exception_has_a_name(name: str) -> None:
    """What has no status is named too, without a key or an address."""
    error, expected = OTHERS[name]
    named = name_error(error)
    assert type(named) is expected
    assert "sk-" not in (named.detail or "")
    assert "://" not in (named.detail or "")


def test_every_error_of_the_sdks_other_modules_has_a_name() -> None:
    """Whatever descends from AnthropicError is a ProviderError, also what is not exported."""
    for kind in set(everywhere()):
        if issubclass(kind, anthropic.APIError):
            assert issubclass(kind, anthropic.APIStatusError) or kind.__name__ in OTHERS
        else:
            error = kind.__new__(kind)
            error.__dict__.update(dict.fromkeys(("request_id", "status_code", "body"), None))
            assert isinstance(name_error(error), errors.ProviderError)


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spent_budget_is_no_rate_limit(code: str) -> None:
    """34: no waiting mends it, so it is the server's billing that was refused, with nothing to wait for."""
    named = name_error(status_error("RateLimitError", 429, code))
    assert type(named) is errors.ProviderKeyRefused
    assert (named.upstream_status, named.retry_after_s) == (429, None)
    assert type(name_error(status_error("RateLimitError", 429, "ramp_limit_exceeded"))) is errors.ProviderRateLimited


@pytest.mark.parametrize("body", [None, "<html>", [], {}, {"error": "words"}, {"error": {"message": 5}}])
def test_odd_error_objects(body: object) -> None:
    """An error body of another shape is no reason to fail in another way."""
    response = httpx2.Response(400, request=REQUEST)
    assert type(name_error(anthropic.BadRequestError("words", response=response, body=body))) is (
        errors.ProviderRequestRefused
    )


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (httpx2.ConnectError("x"), errors.ProviderUnreachable),
        (httpx2.RemoteProtocolError("x"), errors.ProviderBroken),
        (httpx2.TooManyRedirects("x"), errors.ProviderUnreachable),
        (None, errors.ProviderUnreachable),
    ],
)
def test_a_connection_error_is_named_by_its_cause(
    cause: Exception | None, expected: type[errors.ProviderError]
) -> None:
    """The SDK wraps what broke: the cause tells more, and without one the provider was not reached."""
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    assert type(name_error(error)) is expected


def test_what_is_no_failure_of_the_provider() -> None:
    """A fault of this server keeps its own name."""
    assert name_error(ZeroDivisionError()) is None
