"""A provider's server: where it is, what every request to it carries, and how its refusals are named.

What the SDKs send beside the body is the same every time, so it is made once, as bytes, from the provider's own table
of headers; tests hold it against what the installed SDKs send (tests/providers/test_sdks.py). The SDKs themselves are
not imported: they would cost 2.0 s of the start, 65 MB a process (openai 3.54 and anthropic 2.12 on a slow machine of
2 cores) and 0.4 to 0.5 ms a call.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from app import __version__
from app.providers.failures import from_answer, keep_secret
from app.providers.http1 import Reply
from app.providers.transport import Body, Origin, Transport

USER_AGENT = f"Glottis/{__version__}"
"""Some vendors' gateways refuse who does not say a name."""

LONGEST_ERROR_BYTES = 65536
MODELS_TIMEOUT_S = 3.0


class Server:
    """A server that is asked for answers and for its models. One per provider and process."""

    def __init__(self, base_url: str, api_key: str | None, headers: Mapping[str, str]) -> None:
        """Take its address, our key there, and the headers that every request carries.

        Without a key no Authorization header is sent: a server of one's own may not want any.
        """
        keep_secret(api_key)
        url = urlsplit(base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = (url.hostname or "").encode("ascii" if (url.hostname or "").isascii() else "idna").decode()
        self._origin = Origin(url.scheme, host, port)
        self._path = quote(url.path, safe="/%:@!$&'()*+,;=~").rstrip("/")
        self._transport = Transport()
        named = f"[{host}]" if ":" in host else host
        lines = {"Host": named if url.port in (None, 443 if url.scheme == "https" else 80) else f"{named}:{port}"}
        if api_key:
            lines["Authorization"] = f"Bearer {api_key}"
        lines |= {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    def post(self, path: str) -> "Post":
        """Return the streamed POST to this path, for any body."""
        return Post(self._transport, self._origin, self._start("POST", path, "text/event-stream"))

    def get(self, path: str, query: Mapping[str, object] | None = None) -> bytes:
        """Return what a GET answers; raises ProviderError, after MODELS_TIMEOUT_S of silence too.

        On a connection of its own: no turn waits for this one, and it is asked for too seldom to be kept.
        """
        transport = Transport()
        target = f"{path}?{urlencode(query)}" if query else path
        wire = self._start("GET", target, "application/json") + b"\r\n"
        try:
            reply, body = transport.send(self._origin, wire, connect_s=MODELS_TIMEOUT_S, read_s=MODELS_TIMEOUT_S)
            content = whole(body)
        finally:
            transport.close()
        if reply.status != 200:
            raise from_answer(reply.status, reply.named(), content)
        return content

    def close(self) -> None:
        """Close the connections that are kept for the next turns."""
        self._transport.close()

    def _start(self, method: str, path: str, accept: str) -> bytes:
        content = "Content-Type: application/json\r\n" if method == "POST" else ""
        return f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}Accept: {accept}\r\n{content}".encode("latin-1")


class Post:
    """A POST to one path of a server."""

    def __init__(self, transport: Transport, origin: Origin, head: bytes) -> None:
        self._transport = transport
        self._origin = origin
        self._head = head

    def send(self, body: bytes, connect_s: float) -> tuple[Reply, Body]:
        """Send the body and return the head and the body of a successful answer, as soon as the head is there.

        `connect_s` bounds connecting; how long the server may be silent is for the engine to know. Raises the
        ProviderError for any other answer, and for a failure below HTTP.
        """
        wire = b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)
        reply, answer = self._transport.send(self._origin, wire, connect_s=connect_s)
        if reply.status == 200:
            return reply, answer
        raise from_answer(reply.status, reply.named(), whole(answer, LONGEST_ERROR_BYTES))


def whole(body: Body, most_bytes: int | None = None) -> bytes:
    """Return all of a body, or about as much of it as is wanted, and close it."""
    content = b""
    try:
        while (most_bytes is None or len(content) < most_bytes) and (data := body.read()):
            content += data
    finally:
        body.close()
    return content
