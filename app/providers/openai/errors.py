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

from app.domain.errors import ProviderBroken, ProviderError, ProviderTimeout
from app.providers import failures


def name_error(error: Exception) -> ProviderError:
    """Return the domain's error for whatever a call or its stream raised."""
    match error:
        case openai.APIStatusError():
            return _from_status(error)
        case openai.APITimeoutError():
            return ProviderTimeout(detail=str(error))
        case openai.APIConnectionError():
            return failures.from_transport(error.__cause__ or error)
        case openai.APIResponseValidationError():
            return ProviderBroken(detail="the answer did not have the shape that the SDK expects")
        case openai.OpenAIError():
            return ProviderError(detail=failures.scrubbed(str(error)))
        case _:
            return failures.from_transport(error)


def _from_status(error: openai.APIStatusError) -> ProviderError:
    body = error.body if isinstance(error.body, dict) else {}
    message = body.get("message") or error.message
    return failures.from_status(
        error.status_code, str(message), code=error.code, param=error.param, headers=error.response.headers
    )
