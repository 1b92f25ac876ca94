"""GET /openapi.json says what the server does, no more and no less."""

import copy
import os
import re
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest
from api.client import Reply, chat, request
from flask import Flask
from gateway import KEY, ROOT, Gateway, clean_environment
from openapi_spec_validator import OpenAPIV31SpecValidator
from upstreams import AnthropicUpstream, Cut, OpenAIUpstream
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

from app.api.openapi import IMPLIED_METHODS, described
from app.factory import create_app
from app.schemas.chat import CHAT
from app.settings import Settings
from app.telemetry import logs

CHAT_PATH = "/v1/chat/completions"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a server with one provider; the log of applications made here goes nowhere."""
    ours = clean_environment() | {"API_KEYS": f"tester:{KEY}", "OPENAI_API_KEY": "sk-not-used"}
    monkeypatch.setattr(os, "environ", ours)
    monkeypatch.setattr(logs, "_lines", logs._lines)


@pytest.fixture
def application(environment: None) -> Flask:
    """The application, of which the routes can be asked."""
    return create_app(Settings.load())


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> Any:
    """The document as anybody gets it, without a key."""
    reply = request(gateway, "GET", "/openapi.json", headers={})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return reply.json


def operations(document: Any) -> dict[tuple[str, str], Any]:
    """Return every operation by its path and method."""
    return {
        (path, method.upper()): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def routes(application: Flask) -> dict[tuple[str, str], Any]:
    """Return every view by its path, written as OpenAPI does, and its method."""
    return {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method): application.view_functions[rule.endpoint]
        for rule in application.url_map.iter_rules()
        for method in (rule.methods or set()) - IMPLIED_METHODS
    }


def hold(document: Any, schema: str, value: Any) -> None:
    """Hold a value against a schema of the document, and let no field pass that is not in it."""
    closed = copy.deepcopy(document["components"]["schemas"])
    for component in closed.values():
        component["additionalProperties"] = False
    whole = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": closed}}
    jsonschema_rs.Draft202012Validator(whole).validate(value)


def test_it_is_valid_openapi(document: Any) -> None:
    """The document is one of OpenAPI 3.1."""
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_in_it_and_every_path_is_routed(document: Any, application: Flask) -> None:
    """The document and the server have the same paths, with the same methods."""
    assert set(operations(document)) == set(routes(application))


def test_security_is_what_the_views_ask_for(document: Any, application: Flask) -> None:
    """A keyed view takes a key in any of three headers and may answer 401; a public one does neither."""
    views = routes(application)
    for place, operation in operations(document).items():
        keyed = views[place].auth == "keyed"
        assert len(operation["security"]) == (3 if keyed else 0), place
        assert ("401" in operation["responses"]) == keyed, place
    assert len(document["components"]["securitySchemes"]) == 3


def test_a_server_without_keys_asks_for_none(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where anybody is let in, the document does not speak of keys."""
    monkeypatch.delitem(os.environ, "API_KEYS")
    monkeypatch.setitem(os.environ, "ALLOW_ANONYMOUS", "true")
    told = operations(described(create_app(Settings.load())))
    assert not any(operation["security"] or "401" in operation["responses"] for operation in told.values())


def test_the_limit_of_tokens_is_told(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX_TOKENS_LIMIT is the maximum of both fields."""
    monkeypatch.setitem(os.environ, "MAX_TOKENS_LIMIT", "500")
    told = described(create_app(Settings.load()))["components"]["schemas"]["ChatRequest"]["properties"]
    assert [told[name]["anyOf"][0]["maximum"] for name in ("max_tokens", "max_completion_tokens")] == [500, 500]


def test_every_parameter_is_in_it(document: Any) -> None:
    """The request has the schema's fields, and says something of each; the same are required."""
    told = document["components"]["schemas"]["ChatRequest"]
    assert set(told["properties"]) == set(CHAT.fields)
    assert all(told["properties"].values())
    assert set(told["required"]) == {name for name, field in CHAT.fields.items() if field.required}


def test_every_error_has_openais_shape(document: Any) -> None:
    """Each status from 400 on is described, as JSON alone, and as an Error, but for what /health/ready says."""
    for (path, _), operation in operations(document).items():
        for status, response in operation["responses"].items():
            if status >= "400" and (path, status) != ("/health/ready", "503"):
                schema = {"$ref": "#/components/schemas/Error"}
                assert response["content"] == {"application/json": {"schema": schema}}, (path, status)
            assert response["description"]
    statuses = set(document["paths"][CHAT_PATH]["post"]["responses"])
    assert {"400", "401", "404", "413", "415", "429", "500", "502", "503", "504"} < statuses


def test_what_is_answered_is_what_is_told(
    gateway: Gateway, document: Any, openai_upstream: OpenAIUpstream, anthropic_upstream: AnthropicUpstream
) -> None:
    """Answers, streamed or not, with words, tool calls, usage or an error, have the document's fields and no others."""
    calls = [("call_a", "end_call", ['{"rea', 'son": ""}']), ("call_b", "skip_turn", ["{}"])]
    openai_upstream.answers["gpt-told"] = openai_script.tool_answer(calls, text=["One moment."])
    anthropic_upstream.answers["claude-told"] = anthropic_script.tool_answer(calls)
    openai_upstream.answers["gpt-told-cut"] = openai_script.text_answer(["One ", Cut()])
    names = ("end_call", "skip_turn")
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]
    usage = {"include_usage": True}
    for model in ("gpt-told", "claude-told", "gpt-4.1", "claude-haiku-4-5", "function-events"):
        hold(document, "Completion", chat(gateway, model, tools=tools).json)
        for event in chat(gateway, model, tools=tools, stream=True, stream_options=usage).events[:-1]:
            hold(document, "Chunk", event)
    hold(document, "Completion", chat(gateway, "gpt-4.1", logprobs=True).json)
    for event in chat(gateway, "gpt-4.1", logprobs=True, stream=True).events[:-1]:
        hold(document, "Chunk", event)
    hold(document, "Error", chat(gateway, "gpt-told-cut", stream=True).events[-1])


def test_errors_and_lists_are_what_is_told(gateway: Gateway, document: Any) -> None:
    """So have errors, the models and the server's health."""

    def get(path: str, **headers: str) -> Reply:
        return request(gateway, "GET", path, headers=headers)

    hold(document, "Error", get("/v1/models").json)
    hold(document, "Error", chat(gateway, "gpt-4.1", temperature="hot").json)
    hold(document, "ModelList", get("/v1/models", Authorization=f"Bearer {KEY}").json)
    hold(document, "Model", get("/v1/models/receptionist", Authorization=f"Bearer {KEY}").json)
    hold(document, "Health", get("/health").json)
    hold(document, "Readiness", get("/health/ready").json)


def test_starting_the_server_costs_nothing_for_it() -> None:
    """Nothing that makes the document is imported before somebody asks for it."""
    environment = clean_environment() | {"API_KEYS": f"tester:{KEY}", "OPENAI_API_KEY": "sk-not-used"}
    code = "import sys, wsgi; assert not {'apispec', 'app.schemas.document', 'app.schemas.answers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=60)
