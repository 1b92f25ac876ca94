"""A head of the usual form, read in one go: gunicorn's own parser is the judge of everything that it makes of one."""

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.api.head import HeadReader, UsualRequest

METHODS = ["GET", "POST", "OPTIONS", "HEAD", "CONNECT", "get", "PO#ST", "AB", "A" * 21, ""]
TARGETS = [
    "/",
    "/v1/chat/completions",
    "/a?b=c&d=%20?",
    "/%ff",
    "//x/y",
    "/a#b",
    "*",
    "http://x/y",
    "x:1",
    "/a b",
    "/é",
    "",
]
VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", ""]
NAMES = [
    *("Host", "content-type", "Content-Length", "CONNECTION", "Connection", "Transfer-Encoding", "Expect", "Upgrade"),
    *(
        "X-A",
        "x-a",
        "X_A",
        "Script_Name",
        "HTTP2-Settings",
        "X!#$%&'*+.^`|~9",
        "X A",
        "",
        "X-A ",
        "é",
        "X-Forwarded-Proto",
    ),
]
VALUES = [
    *("", "x", "close", "Keep-Alive", " close ", "close, x", "2", "0", "02", "+2", "-1", "²", "1" * 5000, "2, 2"),
    *(
        "chunked",
        "gzip",
        "identity",
        "100-continue",
        "h2c",
        "a:b",
        "\t a \t b \t",
        "a\x00",
        "a\nb",
        "a\rb",
        "é\xa0",
        "\x7f",
    ),
]
BODIES = ["", "{}", "GET / HTTP/1.1\r\n\r\n", "0\r\n\r\n"]


PLAIN = ["Host: x", "X-B:y", "Accept: */*", "User-Agent: a b", "Connection: keep-alive", "Content-Type: a/b"]


def mostly(usual: list[str], odd: list[str]) -> st.SearchStrategy[str]:
    """Draw what is usual so often that a whole request has about one odd part."""
    return st.sampled_from(usual * (9 * len(odd) // len(usual)) + odd)


@st.composite
def sent(draw: st.DrawFn) -> bytes:
    """Make a request that is plain, odd, or none at all."""
    parts = mostly(["GET", "POST"], METHODS), mostly(["/", "/a?b"], TARGETS), mostly(["HTTP/1.1"], VERSIONS)
    lines = [line + "\r\n" for line in draw(st.lists(st.sampled_from(PLAIN), unique=True))]
    for _ in range(draw(st.integers(0, 2))):
        name, value = draw(st.sampled_from(NAMES)), draw(st.sampled_from(VALUES))
        between, end = draw(mostly([":", ": "], [":\t ", " : ", ""])), draw(mostly(["\r\n"], ["\n", "\r", "\r\n "]))
        lines.insert(draw(st.integers(0, len(lines))), name + between + value + end)
    head = " ".join(draw(part) for part in parts) + draw(mostly(["\r\n"], ["\n", "\r\n\r\n", ""])) + "".join(lines)
    text = draw(mostly([""], ["\r\n", "\n", " "])) + head + draw(mostly(["\r\n"], ["", "\n"]))
    return (text + draw(st.sampled_from(BODIES))).encode("latin-1")


def configured(**settings_: Any) -> Config:
    """Return gunicorn's settings as `gunicorn.conf.py` has them, and these."""
    cfg = Config()
    for name, value in {"secure_scheme_headers": {}, "forwarder_headers": "", **settings_}.items():
        cfg.set(name, value)
    return cfg


USUAL = configured()
SHORT = configured(limit_request_line=17, limit_request_field_size=40)
FEW = configured(limit_request_fields=3)
WIDE = configured(
    permit_obsolete_folding=True, strip_header_spaces=True, permit_unconventional_http_method=True,
    permit_unconventional_http_version=True, casefold_http_method=True, header_map="dangerous",
    limit_request_line=0, limit_request_field_size=0,
)  # fmt: skip
DEFAULT = configured(secure_scheme_headers={"X-FORWARDED-PROTO": "x"}, forwarded_allow_ips="*")
PROXIED = configured(proxy_protocol="auto", proxy_allow_ips="*")

SAME = (
    *("method", "uri", "path", "query", "fragment", "version", "headers", "trailers", "scheme", "must_close"),
    *("peer_addr", "remote_addr", "req_number", "proxy_protocol_info", "_expected_100_continue"),
)


def outcome(make: Any, cfg: Config, pieces: list[bytes]) -> Any:
    """Return all that a request is to whoever serves it; or the kind of error in its place."""
    unreader = IterUnreader(pieces)
    try:
        request = make(cfg, unreader, ("127.0.0.1", 1), 1)
        told = [getattr(request, name) for name in SAME]
        reader = request.body.reader
        told += [request.should_close(), type(reader), getattr(reader, "length", None)]
        request.force_close()
        told += [request.must_close, request.should_close(), request.body.read(), unreader.read()]
    except Exception as error:
        return type(error)
    return told


@pytest.mark.parametrize(
    "cfg", [USUAL, SHORT, FEW, WIDE, DEFAULT, PROXIED], ids=["usual", "short", "few", "wide", "default", "proxied"]
)
@settings(max_examples=400, deadline=None)
@given(data=sent(), cut=st.none() | st.integers(0, 200))
@example(data=b"GET / HTTP/1.1\r\nConnection: x\r\nConnection: close\r\n\r\n", cut=None)
@example(data=b"GET / HTTP/1.1\r\n\r\n", cut=None)
@example(data=b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n", cut=None)
@example(data=b"GET / HTTP/1.1\r\nX-A: close \r\n\r\n", cut=None)
@example(data=b"GET / HTTP/1.1\r\nConnection: close\t\r\n\r\n", cut=None)
@example(data=b"GET / HTTP/1.1\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n", cut=None)
@example(data=b"", cut=None)
@example(data=b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", cut=None)
def test_it_is_what_gunicorn_makes_of_it(cfg: Config, data: bytes, cut: int | None) -> None:
    """Whatever comes, in one piece or two, is the same request, or the same error, as without the fast reading."""
    pieces = [data] if cut is None else [data[:cut], data[cut:]]
    assert outcome(HeadReader(cfg), cfg, pieces) == outcome(Request, cfg, pieces)


CLIENTS = {
    "the openai client": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8000\r\nAccept-Encoding: gzip, deflate\r\n"
        b"Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
        b"User-Agent: OpenAI/Python 2.6.1\r\nX-Stainless-Lang: python\r\nAuthorization: Bearer sk-x\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    ),
    "curl": b"GET /v1/models?x=%20 HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    "a proxy": (
        b"GET / HTTP/1.1\r\nhost: glottis.example\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n"
        b"via: 1.1 vegur\r\nconnect-time: 0\r\nx-empty:\r\n\r\nGET /next"
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_clients_send_is_usual(client: str) -> None:
    """The fast reading is at work, or nobody would notice that it had stopped."""
    request = HeadReader(USUAL)(USUAL, IterUnreader([CLIENTS[client]]), ("127.0.0.1", 1))
    assert type(request) is UsualRequest


@pytest.mark.parametrize("cfg", [DEFAULT, PROXIED, configured(http_parser="fast")])
def test_it_stays_out_of_what_it_does_not_know(cfg: Config) -> None:
    """Under a setting that makes something else of a head, none is usual."""
    assert all(HeadReader(cfg).usual(data) is None for data in CLIENTS.values())


def test_the_end_of_a_connection() -> None:
    """Nothing more is the end, and is not asked for twice."""
    asked: list[int] = []

    def ended() -> Any:
        asked.append(1)
        yield b""

    with pytest.raises(StopIteration):
        HeadReader(USUAL)(USUAL, IterUnreader(ended()), None)
    assert asked == [1]
