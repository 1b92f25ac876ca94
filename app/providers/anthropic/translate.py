"""A turn as a body of the Messages API, as pure functions; the numbers are the cases of docs/anthropic.md."""

import hashlib

import msgspec

from app.domain.errors import ProviderRequestRefused
from app.domain.request import JSON, Message, Tool, TurnRequest
from app.providers.anthropic.content import to_system, to_turns
from app.providers.anthropic.models import ModelFacts
from app.providers.anthropic.names import fitting
from app.providers.anthropic.schema import Effort, as_object

DEFAULT_MAX_TOKENS = 4096
"""More than any spoken answer; Anthropic wants a figure (20)."""

LEAST_BYTES_PER_TOKEN = 2

CACHED: JSON = {"type": "ephemeral"}


def to_body(request: TurnRequest, model: str, facts: ModelFacts) -> JSON:
    """Return the JSON body that asks `model` for this turn, streamed.

    Left out, because Anthropic has no such thing or refuses it: sampling parameters (21), penalties, seed, logprobs,
    logit_bias. Raises ContentNotTaken for content that cannot be translated.
    """
    system, conversation = to_system(request.messages)
    params = request.params
    body: JSON = {
        "model": model,
        "max_tokens": min(params.get("max_tokens", DEFAULT_MAX_TOKENS), facts.max_tokens),
        "messages": to_turns(
            conversation,
            first_index=len(request.messages) - len(conversation),
            prefill=facts.prefill,
            system_turns=facts.system_turns,
        ),
        "stream": True,
    }
    tools = _tools(request.tools, request.messages)
    if tools:
        body["tools"] = tools
        choice, instruction = _tool_choice(request, facts)
        if choice:
            body["tool_choice"] = choice
        system += instruction
    _set_format(body, system, params.get("response_format"), facts)
    if system:
        body["system"] = system
    if stops := _stop_sequences(params.get("stop")):
        body["stop_sequences"] = stops
    if user := params.get("user"):
        # It may not be an e-mail address or a telephone number (23).
        body["metadata"] = {"user_id": hashlib.sha256(user.encode()).hexdigest()}
    _set_thinking(body, params.get("reasoning_effort"), facts)
    if request.prompt_caching:
        _mark_cached(body, facts)
    return body


def _tools(tools: list[Tool], messages: list[Message]) -> list[JSON]:
    if tools:
        first_of_name: dict[str, Tool] = {}  # a name that stands twice is refused
        for tool in tools:
            first_of_name.setdefault(tool["function"]["name"], tool)
        effort = Effort()
        return [_tool(tool, effort) for tool in first_of_name.values()]
    # Calls in the history are refused where no tool is declared (17); tool_choice `none` keeps them from being called.
    called = [call["function"]["name"] for message in messages for call in message.get("tool_calls") or []]
    return [{"name": fitting(name), "input_schema": as_object(None)} for name in dict.fromkeys(called)]


def _tool(tool: Tool, effort: Effort) -> JSON:
    function = tool["function"]
    schema = as_object(function.get("parameters"), effort)
    translated: JSON = {"name": fitting(function["name"]), "input_schema": schema}
    if description := function.get("description"):
        translated["description"] = description
    if function.get("strict"):
        translated["strict"] = True
    return translated


def _tool_choice(request: TurnRequest, facts: ModelFacts) -> tuple[JSON | None, list[JSON]]:
    """Return Anthropic's tool_choice (18), and what to say in the system prompt where it cannot be forced (19)."""
    choice: JSON | None = None
    instruction: list[JSON] = []
    asked = request.tool_choice
    if asked == "none" or not request.tools:
        return {"type": "none"}, []
    if asked == "auto":
        choice = {"type": "auto"}
    elif asked is not None:
        name = fitting(_declared(asked["function"]["name"], request.tools)) if isinstance(asked, dict) else None
        if facts.forced_tool and not thinks(request.params.get("reasoning_effort"), facts):
            choice = {"type": "tool", "name": name} if name else {"type": "any"}
        else:
            choice = {"type": "auto"}
            instruction = [_instruction(f"Call the tool {name} now." if name else "Call one of the tools now.")]
    if request.params.get("parallel_tool_calls") is False:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice, instruction


def _declared(name: str, tools: list[Tool]) -> str:
    """Return the name; raises ProviderRequestRefused if there is no such tool, as Anthropic itself would."""
    if not any(tool["function"]["name"] == name for tool in tools):
        raise ProviderRequestRefused(f"tool_choice names '{name}', which is none of the tools.", param="tool_choice")
    return name


def _set_format(body: JSON, system: list[JSON], response_format: JSON | None, facts: ModelFacts) -> None:
    """Ask for JSON: by output_config where there is a schema (26), in words where there is none or it is not taken."""
    kind = (response_format or {}).get("type", "text")
    if kind == "text":
        return
    wanted = (response_format or {}).get("json_schema")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if schema and facts.structured:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return
    words = "Answer with a single JSON object and nothing else."
    if schema:
        words += f" It must fit this JSON schema: {msgspec.json.encode(schema).decode()}"
    system.append(_instruction(words))


def _instruction(text: str) -> JSON:
    return {"type": "text", "text": text}


def _stop_sequences(stop: str | list[str] | None) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop or []
    return [text for text in stops if text.strip()]  # 22


def _set_thinking(body: JSON, effort: str | None, facts: ModelFacts) -> None:
    """Switch thinking off, or to the least the model takes, unless the request or route asks for effort (24)."""
    wants_effort = _wants_effort(effort)
    if facts.thinking_off == "disabled" and not wants_effort:
        body["thinking"] = {"type": "disabled"}
    elif facts.efforts and (wants_effort or facts.thinking_off == "effort"):
        asked = effort if effort in facts.efforts else facts.efforts[-1] if wants_effort else facts.efforts[0]
        body["output_config"] = {**body.get("output_config", {}), "effort": asked}


def thinks(effort: str | None, facts: ModelFacts) -> bool:
    """Whether the model will think before it speaks, if it is asked for this effort (24)."""
    return facts.thinking_off == "effort" or (facts.thinking_off == "disabled" and _wants_effort(effort))


def _wants_effort(effort: str | None) -> bool:
    return effort not in (None, "none", "minimal")


def _mark_cached(body: JSON, facts: ModelFacts) -> None:
    """Mark the end of tools and system prompt, which repeat every turn, and let the rest be cached as it grows (27).

    Two marks of the four that Anthropic takes: the automatic one counts too. Prompts that are clearly below the
    model's minimum would not be cached and get none.
    """
    if len(msgspec.json.encode(body)) < facts.cache_min_tokens * LEAST_BYTES_PER_TOKEN:
        return
    if "system" in body:
        body["system"] = [*body["system"][:-1], {**body["system"][-1], "cache_control": CACHED}]
    elif "tools" in body:
        body["tools"] = [*body["tools"][:-1], {**body["tools"][-1], "cache_control": CACHED}]
    body["cache_control"] = CACHED
