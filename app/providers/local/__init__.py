"""The embedded model: a llama.cpp server from pip alone, in a process of its own, as an OpenAI-compatible upstream.

    gunicorn master, workers ── process.LocalModel ──lifeline──> supervise ──lifeline──> serve (llama.cpp)

A lifeline is standard input: it reaches its end when everyone who held the other side has gone, however they went.
"""
