"""schemathesis' hook: every request that names a model asks for the one that stands in ASKED_MODEL."""

import os
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Leave a model that is no name as it is: it is what the case is about."""
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("model"), str) and 0 < len(body["model"]) <= 256:
        body["model"] = os.environ["ASKED_MODEL"]
