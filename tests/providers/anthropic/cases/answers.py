"""Cases 29 to 35: what Anthropic answers, and what the caller sees of it."""

from upstreams import Answer, Cut, Send
from upstreams.anthropic import (
    Block,
    Message,
    error,
    event,
    text_answer,
    text_block,
    thinking_block,
    tool_answer,
    tool_block,
    usage,
)

from .case import JSON, Case, Failure, called

CALLS = [("toolu_1", "f", ["{", "}"])]
SEARCH = [
    Block({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}, ['{"query":', '"x"}']),
    Block({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
]


def counted(prompt: int, completion: int, cached: int) -> JSON:
    """Expect this usage."""
    return {
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }
    }


def failing(kind: str) -> Send:
    """Send an error event."""
    return Send(event("error", error={"type": kind, "message": "words"}))


def unfinished(block: JSON, delta: JSON) -> Answer:
    """Stream one block, and end in good order without message_stop."""
    events = [
        event("message_start", message={"id": "msg_1", "model": "m", "usage": usage(3, 1)}),
        event("content_block_start", index=0, content_block=block),
        event("content_block_delta", index=0, delta=delta),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage(3, 4)),
    ]
    return Answer(headers={"content-type": "text/event-stream"}, steps=[Send(each) for each in events])


def limited(status: int, wait: str) -> Answer:
    """Refuse for a while."""
    return error(status, "words", "rate_limit_error", headers={"retry-after": wait})


def spent(code: str) -> Answer:
    """Refuse because a budget is used up."""
    details = {"type": "rate_limit_error", "message": "words", "details": {"error_code": code}}
    return Answer.error(429, {"type": "error", "error": details}, {"retry-after": "7"})


STOP_REASONS = [
    *[
        Case(29, f"{theirs} is {ours}", script=text_answer(["Hi"], finish=theirs), hears={"finish_reason": ours})
        for theirs, ours in (
            *[("end_turn", "stop"), ("stop_sequence", "stop"), ("never_heard_of", "stop")],
            *[("max_tokens", "length"), ("model_context_window_exceeded", "length"), ("pause_turn", "length")],
            ("refusal", "content_filter"),
        )
    ],
    *[
        Case(
            29,
            f"with a tool call {theirs} is {ours}",
            script=tool_answer(CALLS, finish=theirs),
            hears={**called(("toolu_1", "f", "{}")), "finish_reason": ours},
        )
        for theirs, ours in (
            *[("tool_use", "tool_calls"), ("end_turn", "tool_calls"), ("never_heard_of", "tool_calls")],
            *[("max_tokens", "length"), ("refusal", "content_filter")],
        )
    ],
]

CALLS_MADE = [
    Case(
        30,
        "calls are numbered by themselves, whatever stands before and between them",
        script=Message(
            blocks=[
                thinking_block(["Hm."]),
                text_block(["One moment."]),
                tool_block("toolu_1", "f", ['{"a"', ":1}"]),
                text_block([" And"]),
                tool_block("toolu_2", "g", ['{"b":2}']),
            ],
            finish="tool_use",
        ),
        hears={
            "content": "One moment. And",
            **called(("toolu_1", "f", '{"a":1}'), ("toolu_2", "g", '{"b":2}')),
            "finish_reason": "tool_calls",
        },
    ),
    Case(
        30,
        "a call without arguments has an empty object",
        script=tool_answer([("toolu_1", "f", []), ("toolu_2", "g", [])]),
        hears=called(("toolu_1", "f", "{}"), ("toolu_2", "g", "{}")),
    ),
    Case(
        30,
        "the server's own tools are not the caller's",
        script=Message(blocks=[*SEARCH, text_block(["Found."])], finish="tool_use"),
        hears={"content": "Found.", "tool_calls": [], "finish_reason": "stop"},
    ),
    Case(
        30,
        "nor are they counted among the caller's",
        script=Message(blocks=[*SEARCH, tool_block("toolu_1", "f", [])], finish="tool_use"),
        hears=called(("toolu_1", "f", "{}")),
    ),
]

USAGE = [
    Case(
        31,
        "what was read from and written to the cache is part of the prompt, and counted once",
        script=text_answer(["Hi"], usage=usage(10, 9, cache_read=1000, cache_creation=200)),
        hears=counted(1210, 9, cached=1000),
    ),
    Case(
        31,
        "the last count stands, also of what comes only at the end",
        script=text_answer(
            ["Hi"],
            usage_at_start={"input_tokens": 10, "output_tokens": 5},
            usage={"output_tokens": 9, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20},
        ),
        hears=counted(130, 9, cached=100),
    ),
]

BROKEN = [
    Case(
        32,
        "an error event after a word ends the answer, whatever follows",
        script=text_answer(["One ", failing("overloaded_error"), "two"]),
        fails=Failure(503, "provider_overloaded", after={"content": "One "}),
        attempts=None,
    ),
    Case(
        32,
        "an answer of words without message_stop was cut",
        script=unfinished({"type": "text", "text": ""}, {"type": "text_delta", "text": "One "}),
        fails=Failure(502, "provider_broken", after={"content": "One "}),
        attempts=None,
    ),
    Case(
        32,
        "a call without message_stop was cut",
        script=unfinished(
            tool_block("toolu_1", "f", []).start, {"type": "input_json_delta", "partial_json": '{"a":1}'}
        ),
        fails=Failure(502, "provider_broken", after=called(("toolu_1", "f", '{"a":1}'))),
        attempts=None,
    ),
    Case(
        32,
        "a connection that breaks in mid-answer is a failure",
        script=text_answer(["One ", Cut()]),
        fails=Failure(502, "provider_broken", after={"content": "One "}),
        attempts=None,
    ),
    *[
        Case(
            32, f"{what} before the first word has a status", script=script, fails=Failure(status, code), attempts=None
        )
        for what, script, status, code in (
            ("an error event", text_answer([failing("overloaded_error")]), 503, "provider_overloaded"),
            ("a broken connection", text_answer([Cut()]), 502, "provider_broken"),
        )
    ],
]

CHUNKS = [
    Case(
        33,
        "one id, one time that is the real one, and the role once",
        script=Message(
            blocks=[thinking_block(["Hm."]), text_block(["One ", "moment."]), tool_block("toolu_1", "f", ["{", "}"])],
            finish="tool_use",
        ),
        hears={"ids": 1, "times": 1, "on_time": True, "roles": ["assistant"], "content": "One moment."},
    ),
]

WAITS = [
    *[
        Case(34, f"{what}, and Anthropic is asked once", script=limited(status, wait), fails=failure)
        for what, status, wait, failure in (
            ("Retry-After is passed on", 429, "7", Failure(429, "rate_limit_exceeded", retry_after="7")),
            ("nobody waits for a day", 429, "86400", Failure(429, "rate_limit_exceeded", retry_after="86400")),
            ("the wait of an overload is passed on", 529, "1", Failure(503, "provider_overloaded", retry_after="1")),
        )
    ],
    *[
        Case(34, f"{code} is mended by no waiting", script=spent(code), fails=Failure(502, "provider_key_refused"))
        for code in ("enforced_spend_limit_reached", "contract_spend_limit_reached")
    ],
]

STATUSES = [
    (400, "invalid_request_error", 400, None),
    (401, "authentication_error", 502, "provider_key_refused"),
    (402, "billing_error", 502, "provider_key_refused"),
    (403, "permission_error", 502, "provider_key_refused"),
    (404, "not_found_error", 404, "model_not_found"),
    (408, "timeout_error", 504, "provider_timeout"),
    (413, "request_too_large", 413, "request_too_large"),
    (429, "rate_limit_error", 429, "rate_limit_exceeded"),
    (500, "api_error", 502, "provider_error"),
    (529, "overloaded_error", 503, "provider_overloaded"),
]
"""Anthropic's status and error type, and the caller's status and code."""

FAILURES = [
    *[
        Case(
            35, f"a {theirs} is a {ours}", script=error(theirs, "words", kind), fails=Failure(ours, code), attempts=None
        )
        for theirs, kind, ours, code in (
            *STATUSES,
            (422, "invalid_request_error", 400, None),
            (503, "api_error", 503, "provider_overloaded"),
            (504, "timeout_error", 504, "provider_timeout"),
            (418, "never_heard_of", 502, "provider_error"),
        )
    ],
    *[
        Case(
            35,
            f"{kind} in the stream is a {ours} too",
            script=text_answer([failing(kind)]),
            fails=Failure(ours, code),
            attempts=None,
        )
        for _, kind, ours, code in STATUSES
    ],
]

CASES = [*STOP_REASONS, *CALLS_MADE, *USAGE, *BROKEN, *CHUNKS, *WAITS, *FAILURES]
