"""The whole of what can be reached from outside, as a closed list: each path, and who may call it."""

import pytest

from app.api.openapi import IMPLIED_METHODS
from app.factory import create_app
from app.settings import Settings

CHAT = [base + path for base in ("/v1", "") for path in ("/chat/completions", "/chat/completions/chat/completions")]
ROUTES = {
    **{f"POST {path}": "keyed" for path in CHAT},
    "GET /v1/models": "keyed",
    "GET /models": "keyed",
    "GET /v1/models/<path:model_id>": "keyed",
    "GET /models/<path:model_id>": "keyed",
    "GET /health": "public",
    "GET /health/ready": "public",
    "GET /openapi.json": "public",
}
"""A path that is not here was not meant to be there. Whoever adds one says who may call it."""


def test_every_path_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path is there that is not in the list: no debugger, no static files, nothing of a library's own."""
    monkeypatch.setenv("GLOTTIS_DOTENV", "/dev/null")
    monkeypatch.setenv("API_KEYS", "a-key")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    app = create_app(Settings.load())
    found = {
        f"{method} {rule.rule}": getattr(app.view_functions[rule.endpoint], "auth", "unmarked")
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - IMPLIED_METHODS
    }
    assert found == ROUTES
