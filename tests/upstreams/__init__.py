"""Scripted OpenAI and Anthropic servers on real loopback sockets: strict as the real ones, byte for byte controlled.

`openai` and `anthropic` hold the builders of each one's answers; the steps and `Answer` serve both.
"""

from . import anthropic, openai
from .answers import Answer, Cut, Gate, Hold, Reset, Send, SendRaw, Split, Step, Wait
from .anthropic import AnthropicUpstream
from .openai import OpenAIUpstream
from .server import Recorded, Upstream

__all__ = [
    "Answer",
    "AnthropicUpstream",
    "Cut",
    "Gate",
    "Hold",
    "OpenAIUpstream",
    "Recorded",
    "Reset",
    "Send",
    "SendRaw",
    "Split",
    "Step",
    "Upstream",
    "Wait",
    "anthropic",
    "openai",
]
