"""The anthropic SDK's exceptions in the domain's words: one table that covers the call and the stream.

AnthropicError
├── APIError
│   ├── APIStatusError                    by its status (35)
│   ├── APITimeoutError                   ProviderTimeout
│   ├── APIConnectionError                by the transport error it wraps
│   ├── APIResponseValidationError        ProviderBroken
│   └── APIWebhookValidationError         of a feature not used here
└── RetryableError, CredentialsError, ... of features not used here                 ProviderError
"""

import anthropic

from app.domain.errors import ProviderBroken, ProviderError, ProviderTimeout
from app.providers import failures


def name_error(error: Exception) -> ProviderError:
    """Return the domain's error for whatever a call or its stream raised."""
    match error:
        case anthropic.APIStatusError():
            message = error.api_message or error.message
            return failures.from_status(error.status_code, message, headers=error.response.headers)
        case anthropic.APITimeoutError():
            return ProviderTimeout(detail="the call timed out")
        case anthropic.APIConnectionError():
            return failures.from_transport(error.__cause__ or error)
        case anthropic.APIResponseValidationError():
            return ProviderBroken(detail="the answer did not have the shape that the SDK expects")
        case anthropic.AnthropicError():
            return ProviderError(detail=failures.scrubbed(str(error)))
        case _:
            return failures.from_transport(error)
