"""Every way a turn can fail, as one tree; each class knows its HTTP status and OpenAI's `type` and `code`.

    GlottisError                       status  type                    code
    ├── RequestError                   the caller's to mend
    │   ├── InvalidRequest             400     invalid_request_error   (as given)
    │   ├── InvalidKey                 401     invalid_request_error   invalid_api_key
    │   ├── AddressRefused             403     invalid_request_error   address_not_allowed
    │   ├── PathNotFound               404     invalid_request_error   unknown_url
    │   ├── ModelNotFound              404     invalid_request_error   model_not_found
    │   ├── MethodNotAllowed           405     invalid_request_error   method_not_allowed
    │   ├── RequestTimeout             408     invalid_request_error   request_timeout
    │   ├── RequestTooLarge            413     invalid_request_error   request_too_large
    │   ├── UnsupportedMediaType       415     invalid_request_error   unsupported_media_type
    │   └── RateLimitExceeded          429     requests                rate_limit_exceeded
    │       └── TokenLimitExceeded     429     tokens                  rate_limit_exceeded
    ├── ProviderError                  502     server_error            provider_error
    │   ├── ProviderUnreachable        502     server_error            provider_unreachable
    │   ├── ProviderBroken             502     server_error            provider_broken
    │   ├── EmptyAnswer                502     server_error            empty_answer
    │   ├── ProviderTimeout            504     server_error            provider_timeout
    │   ├── ProviderOverloaded         503     server_error            provider_overloaded
    │   ├── ProviderRateLimited        429     rate_limit_error        rate_limit_exceeded
    │   ├── ProviderKeyRefused         502     server_error            provider_key_refused
    │   ├── ProviderNotConfigured      503     server_error            provider_not_configured
    │   ├── ProviderModelNotFound      404     invalid_request_error   model_not_found
    │   ├── ProviderRequestTooLarge    413     invalid_request_error   request_too_large
    │   ├── ProviderRequestRefused     400     invalid_request_error   (as the provider said)
    │   │   ├── ContextTooLong         400     invalid_request_error   context_length_exceeded
    │   │   └── ContentNotTaken        400     invalid_request_error   content_not_supported
    │   └── FunctionFailed             502     server_error            function_failed
    ├── ServerStopping                 503     server_error            server_stopping
    ├── StoreDown                      503     server_error            store_unavailable
    ├── RecordsUnavailable             503     server_error            records_unavailable
    └── InternalError                  500     server_error            internal_error

    CallerGone                         not a failure: the caller hung up or barged in, and the turn ends there
    TimeIsUp                           ends a turn's waiting, and is then the GlottisError that it holds

A provider's 401 is this server's trouble, not the caller's, so it becomes 502: the caller's own key was fine.
`message` goes to the caller and holds nothing of the inside; `detail` is for the log alone.
"""

import traceback
from typing import ClassVar


class CallerGone(BaseException):
    """The client's connection has closed: a normal end. Not an Exception, so that no `except Exception` keeps it."""


class TimeIsUp(BaseException):
    """Raised where a turn waits that has waited enough; it becomes its `error`. No Exception, as CallerGone is none."""

    def __init__(self, error: "GlottisError") -> None:
        super().__init__()
        self.error = error


class GlottisError(Exception):
    """The root. `retry_after_s` is passed on as Retry-After; `upstream_status` is what the provider answered."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None
    default_message: ClassVar[str] = "The server had an error while processing your request."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
        upstream_status: int | None = None,
    ) -> None:
        self.message = message or self.default_message
        super().__init__(self.message)
        self.param = param
        self.code = code or self.default_code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.upstream_status = upstream_status
        self.accounted = False
        """Whether a turn's line in the log tells of it already."""

    @property
    def name(self) -> str:
        """The class's name, as the log gives it."""
        return type(self).__name__


class InternalError(GlottisError):
    """A fault of this server: what is wrong stands in the log."""

    default_code = "internal_error"


def unforeseen(error: BaseException) -> InternalError:
    """Return the InternalError for an exception that nobody foresaw.

    The log is told its class and place: its message may hold what a caller said, or a key.
    """
    return InternalError(detail=f"{type(error).__name__} at {place_of(error)}")


def place_of(error: BaseException) -> str:
    """Return the innermost file and line of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"


class ServerStopping(GlottisError):
    """The server is being stopped, and its time is up."""

    status = 503
    default_code = "server_stopping"
    default_message = "The server is restarting. Please try again."


class StoreDown(GlottisError):
    """What workers share cannot be reached. Whoever asks the store goes on without, unless the operator says no."""

    status = 503
    default_code = "store_unavailable"
    default_message = "The server cannot check its limits just now. Please try again."


class RecordsUnavailable(GlottisError):
    """The record of turns cannot be read now, because its database does not answer; `detail` says why."""

    status = 503
    default_code = "records_unavailable"
    default_message = "The record of turns cannot be read just now. Please try again."


class RequestError(GlottisError):
    """The request cannot be served as it is, whoever answers it."""

    status = 400
    type = "invalid_request_error"


class InvalidRequest(RequestError):
    """Malformed JSON, a missing or wrong field; `param` names it."""

    default_message = "The request is not valid."


class InvalidKey(RequestError):
    """No API key came with the request, or one that is not known."""

    status = 401
    default_code = "invalid_api_key"
    default_message = (
        "Missing or incorrect API key. Send one of the server's API_KEYS as 'Authorization: Bearer KEY', "
        "'X-Custom-Auth: KEY' or 'X-API-Key: KEY'."
    )


class AddressRefused(RequestError):
    """What was asked for is not for everybody, and the request came from elsewhere."""

    status = 403
    default_code = "address_not_allowed"
    default_message = "This is not served to your address."


class PathNotFound(RequestError):
    """No such path."""

    status = 404
    default_code = "unknown_url"


class ModelNotFound(RequestError):
    """No route, provider or default answers to this model name."""

    status = 404
    default_code = "model_not_found"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    status = 405
    default_code = "method_not_allowed"


class RequestTimeout(RequestError):
    """The request came too slowly."""

    status = 408
    default_code = "request_timeout"
    default_message = "The request did not arrive in time."


class RequestTooLarge(RequestError):
    """The body is larger than MAX_BODY_BYTES."""

    status = 413
    default_code = "request_too_large"


class UnsupportedMediaType(RequestError):
    """The body is not said to be JSON."""

    status = 415
    default_code = "unsupported_media_type"


class RateLimitExceeded(RequestError):
    """The caller's own limit here: requests per minute, or turns at once."""

    status = 429
    type = "requests"
    default_code = "rate_limit_exceeded"
    default_message = "Rate limit reached."


class TokenLimitExceeded(RateLimitExceeded):
    """The caller's own limit of tokens per minute."""

    type = "tokens"


class ProviderError(GlottisError):
    """The model's side failed."""

    status = 502
    default_code: ClassVar[str | None] = "provider_error"
    default_message = "The model provider had an error."


class ProviderUnreachable(ProviderError):
    """No connection: refused, no such host, no route, a bad certificate."""

    default_code = "provider_unreachable"
    default_message = "The model provider could not be reached."


class ProviderBroken(ProviderError):
    """The answer broke off, or was not what the provider's API promises."""

    default_code = "provider_broken"
    default_message = "The model provider's answer was cut off or malformed."


class EmptyAnswer(ProviderError):
    """The answer ended well, without a word and without a tool call: the caller would hear nothing."""

    default_code = "empty_answer"
    default_message = "The model provider's answer was empty."


class ProviderTimeout(ProviderError):
    """Nothing came for too long."""

    status = 504
    default_code = "provider_timeout"
    default_message = "The model provider did not answer in time."


class ProviderOverloaded(ProviderError):
    """503 or 529: too busy just now."""

    status = 503
    default_code = "provider_overloaded"
    default_message = "The model provider is overloaded."


class ProviderRateLimited(ProviderError):
    """429: the server's own quota at the provider is used up."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    default_message = "The model provider's rate limit was reached."


class ProviderKeyRefused(ProviderError):
    """401, 402, 403: the server's key, its billing or its permissions at the provider."""

    default_code = "provider_key_refused"
    default_message = "The model provider refused this server's credentials."


class ProviderNotConfigured(ProviderError):
    """The server has no key for this provider, or has not installed it; `detail` says what is missing."""

    status = 503
    default_code = "provider_not_configured"
    default_message = "The provider of this model is not configured on this server."


class ProviderModelNotFound(ProviderError):
    """404: the provider has no such model, or not for this key."""

    status = 404
    type = "invalid_request_error"
    default_code = "model_not_found"
    default_message = "The model provider does not have this model."


class ProviderRequestTooLarge(ProviderError):
    """413 of the provider."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"
    default_message = "The request is too large for the model provider."


class ProviderRequestRefused(ProviderError):
    """400 or 422: the provider does not take this request; its own words say why."""

    status = 400
    type = "invalid_request_error"
    default_code: ClassVar[str | None] = None
    default_message = "The model provider refused the request."


class ContextTooLong(ProviderRequestRefused):
    """The conversation is longer than the model's context window."""

    default_code = "context_length_exceeded"
    default_message = "The conversation is too long for this model."


class ContentNotTaken(ProviderRequestRefused):
    """The provider has no words for what the request holds, such as audio; another may have."""

    default_code = "content_not_supported"
    default_message = "The model's provider does not take this content."


class FunctionFailed(ProviderError):
    """A user's own function raised, or yielded what is no event."""

    default_code = "function_failed"
    default_message = "The function behind this model failed."
