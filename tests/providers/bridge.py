"""httpx2, a client that tests like to write with, over the transport of the providers."""

from collections.abc import Iterator

import httpx2

from app.providers.transport import Body, Origin, Transport


class Bridge(httpx2.BaseTransport):
    """Sends httpx2's requests by a Transport; what that raises comes through as it is."""

    def __init__(self, transport: Transport | None = None) -> None:
        self.transport = transport or Transport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one, and return when the head of its answer is there."""
        timeout = request.extensions.get("timeout", {})
        url = request.url
        origin = Origin(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), url.raw_path)]
        lines += [b"%s: %s" % (name, value) for name, value in request.headers.raw]
        wire = b"\r\n".join([*lines, b"", request.read()])
        reply, body = self.transport.send(origin, wire, connect_s=timeout.get("connect"), read_s=timeout.get("read"))
        return httpx2.Response(reply.status, headers=list(reply.headers.items()), stream=_Stream(body))

    def close(self) -> None:
        """Close the idle connections."""
        self.transport.close()


class _Stream(httpx2.SyncByteStream):
    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        while data := self._body.read():
            yield data

    def close(self) -> None:
        self._body.close()
