"""Every exception of the openai SDK has a name in the domain; a new one in the SDK makes this fail."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import httpx2
import openai
import pytest

from app.domain import errors
from app.providers.openai.errors import name_error

REQUEST = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")


def response(status: int) -> httpx2.Response:
    """Make a response of this status."""
    return httpx2.Response(status, request=REQUEST, headers={"retry-after": "3"})


def status_error(kind: type[openai.APIStatusError], status: int) -> openai.APIStatusError:
    """Make an error of a status."""
    return kind("words", response=response(status), body={"message": "words"})


def bare(kind: type[Exception]) -> Exception:
    """Make an exception of a feature that is not used here, whatever it wants to be made of."""
    error = kind.__new__(kind)
    error.args = ("at https://api.openai.com with sk-secret-1234",)
    return error


NAMES: dict[str, tuple[Exception, type[errors.ProviderError] | None]] = {
    "BadRequestError": (status_error(openai.BadRequestError, 400), errors.ProviderRequestRefused),
    "AuthenticationError": (status_error(openai.AuthenticationError, 401), errors.ProviderKeyRefused),
    "PermissionDeniedError": (status_error(openai.PermissionDeniedError, 403), errors.ProviderKeyRefused),
    "NotFoundError": (status_error(openai.NotFoundError, 404), errors.ProviderModelNotFound),
    "ConflictError": (status_error(openai.ConflictError, 409), errors.ProviderError),
    "UnprocessableEntityError": (status_error(openai.UnprocessableEntityError, 422), errors.ProviderRequestRefused),
    "RateLimitError": (status_error(openai.RateLimitError, 429), errors.ProviderRateLimited),
    "InternalServerError": (status_error(openai.InternalServerError, 503), errors.ProviderOverloaded),
    "APIStatusError": (status_error(openai.APIStatusError, 413), errors.ProviderRequestTooLarge),
    "APIError": (openai.APIError("sk-secret-1234", REQUEST, body=None), errors.ProviderError),
    "APIConnectionError": (openai.APIConnectionError(request=REQUEST), errors.ProviderUnreachable),
    "APITimeoutError": (openai.APITimeoutError(REQUEST), errors.ProviderTimeout),
    "APIResponseValidationError": (
        openai.APIResponseValidationError(response(200), {"x": "sk-secret-1234"}),
        errors.ProviderBroken,
    ),
    **{
        name: (bare(getattr(openai, name)), errors.ProviderError)
        for name in ("OpenAIError", "LengthFinishReasonError", "ContentFilterFinishReasonError")
    },
    "OAuthError": (bare(openai.OAuthError), errors.ProviderKeyRefused),
    **{
        name: (bare(getattr(openai, name)), errors.ProviderError)
        for name in ("WebSocketConnectionClosedError", "WebSocketQueueFullError", "_AmbiguousModuleClientUsageError")
    },
    # Not an OpenAIError: raised by a method for webhooks alone.
    "InvalidWebhookSignatureError": (bare(openai.InvalidWebhookSignatureError), None),
}


def exported() -> set[str]:
    """The names of all exceptions that `openai` exports."""
    found = {name: getattr(openai, name) for name in dir(openai)}
    return {name for name, value in found.items() if inspect.isclass(value) and issubclass(value, BaseException)}


def everywhere() -> Iterator[type[Exception]]:
    """Every OpenAIError of every module that can be imported without extras."""
    for module in pkgutil.walk_packages(openai.__path__, "openai.", onerror=lambda name: None):
        if module.name.startswith("openai._") or module.name.startswith("openai.lib."):
            try:
                found = vars(importlib.import_module(module.name))
            except ImportError:
                continue
            yield from (v for v in found.values() if inspect.isclass(v) and issubclass(v, openai.OpenAIError))


def test_no_exception_of_the_sdk_is_unknown() -> None:
    """A class that a new version of the SDK adds has to be thought about here."""
    assert exported() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_exception_has_a_name(name: str) -> None:
    """Each class is named, with the status that came and without a key or an address."""
    error, expected = NAMES[name]
    if name == "OAuthError":
        error.__init__(response=response(401), body=None)  # type: ignore[misc]
    named = name_error(error)
    assert (None if named is None else type(named)) == expected
    if named is not None:
        for told in (named.message, named.detail or ""):
            assert "sk-" not in told
            assert "://" not in told


def test_every_error_of_the_sdks_other_modules_has_a_name() -> None:
    """Whatever descends from OpenAIError is a ProviderError, also what is not exported."""
    found = set(everywhere())
    assert len(found) > 15
    for kind in found:
        if not issubclass(kind, openai.APIError):
            assert isinstance(name_error(bare(kind)), errors.ProviderError)
        else:
            assert kind.__name__ in NAMES


@pytest.mark.parametrize("code", [None, "bad", 400])
@pytest.mark.parametrize("param", [None, "messages", ["messages"]])
def test_odd_error_objects(code: object, param: object) -> None:
    """`code` and `param` reach the caller only as text: some servers repeat the status, or send a list."""
    body = {"message": "No", "code": code, "param": param}
    named = name_error(openai.BadRequestError("x", response=response(400), body=body))
    assert named is not None
    assert named.message == "No"
    assert named.code == (code if isinstance(code, str) else None)
    assert named.param == (param if isinstance(param, str) else None)


@pytest.mark.parametrize("body", ["model is too small", {"message": "model is too small"}])
def test_an_error_as_a_bare_string(body: object) -> None:
    """Ollama's `{"error": "..."}` reads as well as OpenAI's object."""
    named = name_error(openai.BadRequestError("Error code: 400", response=response(400), body=body))
    assert named is not None
    assert named.message == "model is too small"


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (httpx2.ConnectError("x"), errors.ProviderUnreachable),
        (httpx2.RemoteProtocolError("x"), errors.ProviderBroken),
        (httpx2.ReadTimeout("x"), errors.ProviderTimeout),
        (httpx2.TooManyRedirects("x"), errors.ProviderUnreachable),
        (None, errors.ProviderUnreachable),
    ],
)
def test_a_connection_error_is_named_by_its_cause(
    cause: Exception | None, expected: type[errors.ProviderError]
) -> None:
    """The SDK wraps what broke: the cause tells more, and without one the provider was not reached."""
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    assert type(name_error(error)) is expected


def test_what_is_no_failure_of_the_provider() -> None:
    """A fault of this server keeps its own name."""
    assert name_error(ZeroDivisionError()) is None
