"""Glottis as a function of AWS Lambda that answers buffered events: an event in, one whole answer out.

For API Gateway's REST and HTTP APIs, function URLs in mode BUFFERED, and load balancers. There is no gunicorn here, so
what its configuration does is done here: the patch comes before everything else. A request with `stream` is answered
with the same events, but all at once when the last one is there.
"""

from gevent import monkey

monkey.patch_all()

from typing import Any  # noqa: E402 (the patch comes before everything else)

from apig_wsgi import make_lambda_handler  # noqa: E402

from wsgi import app  # noqa: E402


class AsAsked:
    """WSGI middleware: undoes what a gateway adds to the path, and believes it about the caller's address.

    An HTTP API puts the name of its stage before the path. The address that a REST API saw is in the event alone; the
    header X-Forwarded-For begins with whatever the caller wrote into it.
    """

    def __init__(self, wsgi_app: Any) -> None:
        self._app = wsgi_app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve the request as its caller asked it."""
        context = environ.get("apig_wsgi.request_context") or {}
        stage = f"/{context.get('stage')}/"
        if "http" in context and environ["PATH_INFO"].startswith(stage):
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(stage[:-1])
        address = context.get("identity", {}).get("sourceIp")
        if address:
            environ["REMOTE_ADDR"] = address
        return self._app(environ, start_response)


handler = make_lambda_handler(AsAsked(app))
