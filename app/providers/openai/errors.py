"""The openai SDK's exceptions in the domain's words: one table that covers the call and the stream.

OpenAIError
├── APIError                              a mid-stream error, or none of the below    by its type
│   ├── APIStatusError                    4xx and 5xx                                 by its status
│   ├── APITimeoutError                                                               ProviderTimeout
│   ├── APIConnectionError                by the transport error it wraps
│   └── APIResponseValidationError                                                    ProviderBroken
└── all others                            of features that are not used here          ProviderError
"""

import openai

from app.domain.errors import ProviderBroken, ProviderError, ProviderTimeout, ProviderUnreachable
from app.providers import failures


def name_error(error: Exception) -> ProviderError | None:
    """Return the domain's error for what a call or its stream raised; None for what is no failure of the provider."""
    match error:
        case openai.APIStatusError():
            return _from_status(error)
        case openai.APITimeoutError():
            return ProviderTimeout(detail=str(error))
        case openai.APIConnectionError():
            return failures.from_transport(error.__cause__ or error) or ProviderUnreachable(
                detail=type(error.__cause__).__name__
            )
        case openai.APIResponseValidationError():
            return ProviderBroken(detail="the answer did not have the shape that the SDK expects")
        case openai.OpenAIError():
            return ProviderError(detail=failures.scrubbed(str(error)))
        case _:
            return failures.from_transport(error)


def _from_status(error: openai.APIStatusError) -> ProviderError:
    # OpenAI's `error` object; some servers give a bare string instead, or the HTTP status once more as `code`.
    fields = error.body if isinstance(error.body, dict) else {"message": error.body}
    code, param = fields.get("code"), fields.get("param")
    return failures.from_status(
        error.status_code,
        str(fields.get("message") or fields.get("detail") or error.message),
        code=code if isinstance(code, str) else None,
        param=param if isinstance(param, str) else None,
        headers=error.response.headers,
    )
