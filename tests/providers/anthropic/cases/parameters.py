"""Cases 20 to 28: parameters, thinking, the cache, images and files."""

import base64
import hashlib

from upstreams.anthropic import Message, text_block, thinking_block
from upstreams.anthropic_models import LISTED

from .case import (
    ABSENT,
    HAIKU,
    HELLO,
    HI,
    JSON,
    OBJECT,
    OPUS,
    SONNET,
    Case,
    Failure,
    said,
    system,
    text,
    tool,
    turns,
    user,
)

MARK = {"cache_control": {"type": "ephemeral"}}
LONG, SHORT = "Be brief. " * 2000, "Be brief. " * 400
DATA = base64.b64encode(b"data").decode()
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": OBJECT}}
FORMAT = {"format": {"type": "json_schema", "schema": OBJECT}}
SAMPLING = {"temperature": 1.7, "top_p": 0.5}
NOT_ANTHROPICS: JSON = {
    "seed": 1, "frequency_penalty": 1, "presence_penalty": 1, "logprobs": True, "top_logprobs": 2, "store": True,
    "logit_bias": {"5": 1}, "verbosity": "low", "service_tier": "flex", "prompt_cache_key": "x",
}  # fmt: skip
OFF = {"type": "disabled"}
THOUGHT = Message(blocks=[thinking_block(["Let me ", "think."]), text_block(["Hello."])])


def hashed(name: str) -> JSON:
    """Expect a user's SHA-256 hash."""
    return {"metadata": {"user_id": hashlib.sha256(name.encode()).hexdigest()}}


def data(media_type: str) -> str:
    """Make a base64 data URI."""
    return f"data:{media_type};base64,{DATA}"


def image(url: str) -> JSON:
    """Make an image part."""
    return {"type": "image_url", "image_url": {"url": url}}


def block(kind: str, media_type: str) -> JSON:
    """Expect a block of base64 data."""
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": DATA}}


AUDIO = {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}
NOT_SENT = dict.fromkeys((*SAMPLING, "top_k"), ABSENT)

PARAMETERS = [
    *[
        Case(20, f"max_tokens of {limit} is the default", {"max_tokens": limit}, arrives={"max_tokens": 4096})
        for limit in (None, -1)
    ],
    Case(20, "max_tokens is there if it was not set", arrives={"max_tokens": 4096}),
    Case(20, "max_tokens is the caller's", {"max_tokens": 7}, arrives={"max_tokens": 7}),
    Case(20, "as many as the SDK refuses without streaming", {"max_tokens": 60_000}, arrives={"max_tokens": 60_000}),
    *[
        Case(20, f"never more than {model} can", {"max_tokens": 10**9}, model, arrives={"max_tokens": most})
        for model, most in ((HAIKU, 64_000), (OPUS, 128_000))
    ],
    *[Case(21, f"{model} is sent no temperature and no top_p", SAMPLING, model, arrives=NOT_SENT) for model in LISTED],
    Case(
        21,
        "what else Anthropic does not have is not sent",
        NOT_ANTHROPICS,
        arrives=dict.fromkeys(NOT_ANTHROPICS, ABSENT),
    ),
    Case(22, "stop may be a string", {"stop": "END"}, arrives={"stop_sequences": ["END"]}),
    Case(22, "blank stops are left out", {"stop": ["\n", "END", " "]}, arrives={"stop_sequences": ["END"]}),
    Case(22, "a blank stop alone is none", {"stop": "\n"}, arrives={"stop_sequences": ABSENT}),
    Case(23, "an e-mail address is hashed", {"user": "a@example.com"}, arrives=hashed("a@example.com")),
    Case(23, "a telephone number is hashed", {"user": "+4930123456"}, arrives=hashed("+4930123456")),
    Case(23, "no user is nobody", {"user": ""}, arrives={"metadata": ABSENT}),
]

THINKING = [
    *[
        Case(24, f"{model} does not think", model=model, arrives={"thinking": OFF, "output_config": ABSENT})
        for model in (SONNET, "claude-opus-5", "claude-sonnet-5-5", "claude-haiku-5-5")
    ],
    *[
        Case(
            24,
            f"{model} cannot but think, and does least",
            model=model,
            arrives={"thinking": ABSENT, "output_config": {"effort": "low"}},
        )
        for model in (OPUS, "claude-fable-5-2", "claude-mythos-5")
    ],
    *[
        Case(
            24, f"{model} does not think of itself", model=model, arrives={"thinking": ABSENT, "output_config": ABSENT}
        )
        for model in (HAIKU, "claude-sonnet-4-6", "claude-opus-4-7")
    ],
    *[
        Case(24, f"{model} may think as hard as asked", {"reasoning_effort": effort}, model, arrives=arrives)
        for model, effort, arrives in (
            (SONNET, "max", {"thinking": ABSENT, "output_config": {"effort": "max"}}),
            (OPUS, "medium", {"thinking": ABSENT, "output_config": {"effort": "medium"}}),
            ("claude-sonnet-4-6", "high", {"thinking": ABSENT, "output_config": {"effort": "high"}}),
        )
    ],
    *[
        Case(
            24,
            f"{effort} is off",
            {"reasoning_effort": effort},
            SONNET,
            arrives={"thinking": OFF, "output_config": ABSENT},
        )
        for effort in ("none", "minimal")
    ],
    Case(
        24,
        "an effort that the model does not have is its highest",
        {"reasoning_effort": "xhigh"},
        "claude-sonnet-4-6",
        arrives={"output_config": {"effort": "max"}},
    ),
    *[
        Case(
            24,
            f"{model} is told nothing of efforts",
            {"reasoning_effort": "high"},
            model,
            arrives={"thinking": ABSENT, "output_config": ABSENT},
        )
        for model in (HAIKU, "claude-unknown-1")
    ],
    Case(
        25,
        "thinking in the history is not sent",
        {"messages": [HELLO, {**said("A"), "reasoning_content": "Hm."}, HELLO]},
        OPUS,
        arrives=turns([HI], [text("A")], [HI]),
    ),
    Case(25, "thinking is not spoken", model=OPUS, script=THOUGHT, hears={"content": "Hello.", "reasoning": ""}),
    Case(
        25,
        "a route may show it, beside what is spoken",
        model="claude-thinking",
        route="thinking",
        script=THOUGHT,
        hears={"content": "Hello.", "reasoning": "Let me think."},
    ),
]

FORMATS = [
    Case(
        26,
        "a schema is the format of the output",
        {"response_format": SCHEMA},
        arrives={"output_config": FORMAT, "system": ABSENT},
    ),
    Case(
        26,
        "a schema goes with an effort",
        {"response_format": SCHEMA},
        OPUS,
        arrives={"output_config": {**FORMAT, "effort": "low"}},
    ),
    Case(
        26,
        "JSON without a schema is asked for in words",
        {"response_format": {"type": "json_object"}},
        arrives={"output_config": ABSENT, "system": [text("Answer with a single JSON object and nothing else.")]},
    ),
    Case(
        26,
        "text is no format",
        {"response_format": {"type": "text"}},
        arrives={"output_config": ABSENT, "system": ABSENT},
    ),
]

CACHE = [
    Case(
        27,
        "the end of the system prompt is marked, and the conversation as it grows",
        {"messages": [system("A"), system(LONG), HELLO], "tools": [tool()]},
        arrives={
            **MARK,
            "system": [text("A"), {**text(LONG), **MARK}],
            "tools": [{"name": "f", "input_schema": OBJECT}],
        },
    ),
    Case(
        27,
        "the end of the tools is marked if there is no system prompt",
        {"tools": [tool(), tool("g", description=LONG)]},
        arrives={
            **MARK,
            "tools": [
                {"name": "f", "input_schema": OBJECT},
                {"name": "g", "description": LONG, "input_schema": OBJECT, **MARK},
            ],
        },
    ),
    Case(
        27,
        "a prompt that is long enough for this model is marked",
        {"messages": [system(SHORT), HELLO]},
        SONNET,
        arrives={**MARK, "system": [{**text(SHORT), **MARK}]},
    ),
    Case(
        27,
        "and the same is too short for another",
        {"messages": [system(SHORT), HELLO]},
        HAIKU,
        arrives={"cache_control": ABSENT, "system": [text(SHORT)]},
    ),
    Case(
        27,
        "a route may go without",
        {"messages": [system(LONG), HELLO]},
        "claude-thinking",
        route="thinking",
        arrives={"cache_control": ABSENT, "system": [text(LONG)]},
    ),
]

FILES = [
    *[
        Case(28, f"{what} is sent", {"messages": [user(HI, part)]}, arrives=turns([HI, sent]))
        for what, part, sent in (
            (
                "an image's address",
                image("https://example.com/a.png"),
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            ),
            *[
                (f"data of {kind}", image(data(kind)), block("image", kind))
                for kind in ("image/jpeg", "image/png", "image/gif", "image/webp")
            ],
            (
                "a PDF",
                {"type": "file", "file": {"filename": "a.pdf", "file_data": data("application/pdf")}},
                block("document", "application/pdf"),
            ),
        )
    ],
    *[
        Case(
            28,
            f"{what} is refused, and the field is named",
            {"messages": [HELLO, user(HI, part)]},
            attempts=0,
            fails=Failure(400, "content_not_supported", f"messages[1].content[1].{field}"),
        )
        for what, part, field in (
            ("audio", AUDIO, "type"),
            ("a file's id", {"type": "file", "file": {"file_id": "file-1"}}, "type"),
            ("an image of another type", image(data("image/tiff")), "image_url.url"),
            ("an address of another kind", image("ftp://example.com/a.png"), "image_url.url"),
        )
    ],
    Case(
        28,
        "the next target is asked about what Anthropic does not take",
        {"messages": [user(HI, AUDIO)]},
        route="hearing",
        attempts=0,
        hears={"content": "You said: hello"},
    ),
]

CASES = [*PARAMETERS, *THINKING, *FORMATS, *CACHE, *FILES]
