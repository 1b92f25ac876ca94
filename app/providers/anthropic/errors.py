"""The anthropic SDK's exceptions in the domain's words: one table that covers the call and the stream.

AnthropicError
├── APIError
│   ├── APIStatusError                    by its status (35), or ProviderKeyRefused: nothing left to spend (34)
│   ├── APITimeoutError                   ProviderTimeout
│   ├── APIConnectionError                by the transport error it wraps
│   ├── APIResponseValidationError        ProviderBroken
│   └── APIWebhookValidationError         of a feature not used here
└── RetryableError, CredentialsError, ... of features not used here                 ProviderError
"""

import anthropic

from app.domain.errors import ProviderBroken, ProviderError, ProviderKeyRefused, ProviderTimeout, ProviderUnreachable
from app.providers import failures

_SPENT = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
"""A 429 that no waiting mends: the budget is used up (34)."""


def name_error(error: Exception) -> ProviderError | None:
    """Return the domain's error for what a call or its stream raised; None for what is no failure of the provider."""
    match error:
        case anthropic.APIStatusError() if error.error_code in _SPENT:
            return ProviderKeyRefused(detail=error.error_code, upstream_status=error.status_code)
        case anthropic.APIStatusError():
            message = str(error.api_message or error.message)
            return failures.from_status(error.status_code, message, headers=error.response.headers)
        case anthropic.APITimeoutError():
            return ProviderTimeout(detail="the call timed out")
        case anthropic.APIConnectionError():
            return failures.from_transport(error.__cause__ or error) or ProviderUnreachable(
                detail=type(error.__cause__).__name__
            )
        case anthropic.APIResponseValidationError():
            return ProviderBroken(detail="the answer did not have the shape that the SDK expects")
        case anthropic.AnthropicError():
            return ProviderError(detail=failures.scrubbed(str(error)))
        case _:
            return failures.from_transport(error)
