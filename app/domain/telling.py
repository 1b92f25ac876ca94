"""What the log may say of an error's `code` and `param`: a provider's or a caller's own words are none of ours to keep.

A field's path is cut where it names anything that OpenAI's and Anthropic's APIs do not: `metadata.SECRET` becomes
`metadata`, and `messages[2].content` stays.
"""

import re

NAMES = frozenset(
    """
    allowed_tools annotations arguments audio auto budget_tokens cache_control call_id citations code content
    conversation_id custom data description detail display document effort elevenlabs_extra_body enum error
    file file_data file_id filename format frequency_penalty function function_call functions guardrails id image
    image_url include_obfuscation include_usage index input input_audio input_schema input_text is_error json_schema
    logit_bias logprobs max_completion_tokens max_output_tokens max_tokens media_type messages metadata modalities
    mode model moderation n name output output_config output_format parallel_tool_calls parameters prediction
    presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning reasoning_content
    reasoning_effort refusal response_format role safety_identifier schema seed service_tier signature source speed
    stop stop_sequences store stream stream_options strict system temperature text thinking tool tool_call_id
    tool_calls tool_choice tool_result tool_use tool_use_id tools top_k top_logprobs top_p ttl type url user user_id
    verbosity voice web_search_options
    """.split()  # noqa: SIM905 (a list would have a line for each)
)

_STEP = re.compile(r"\.?(?:\[?(?P<index>\d{1,5})\]?|(?P<name>[a-z_]+))(?=[.\[]|$)")
_CODE = re.compile(r"[a-z]{2,20}(?:_[a-z]{1,20}){1,7}")


def place(param: str | None) -> str | None:
    """Return the beginning of a field's path that holds nothing but known names and numbers; None if there is none."""
    at = 0
    while param and (step := _STEP.match(param, at)) and (step["index"] or step["name"] in NAMES):
        at = step.end()
    return param[:at] if param and at else None


def code(given: str | None) -> str | None:
    """Return an error's code if it is one: words with underlines between them, such as `insufficient_quota`."""
    return given if given and _CODE.fullmatch(given) else None


def of(given: str | None, param: str | None, reason: str | None = None) -> str:
    """Return a `detail` for the log, of the code that was given and a field's path; `reason` is in our own words."""
    words = {"code": code(given), "param": place(param)}
    said = ", ".join(f"{name} {word}" for name, word in words.items() if word)
    return f"{said}: {reason}" if said and reason else reason or said or "without a code"
