"""Flask, without what it asks at every request and what is never otherwise here: 130 calls of functions less.

No view is async, no route depends on the host, there are no sessions and no forms. Functions before and after a request
are the application's own, none a blueprint's; and nothing is torn down when a request ends, which for a stream would be
before its first chunk.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.routing import MapAdapter, Rule


class NoSessions(SessionInterface):
    """Where Flask looks for a session; one that is empty, and refuses to hold anything, serves all."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return the one there is."""
        del app, request
        return self._none


class KnownPaths(MapAdapter):
    """Finds a request's view; one whose path has no variables is looked for once, and then known: 1 us instead of 6.

    They are no more than the application has rules: what is not found, or is sent elsewhere, is not kept.
    """

    known: dict[tuple[str, str], tuple[Rule, Mapping[str, Any]]]

    def match(self, *given: Any, **named: Any) -> Any:
        """Return what werkzeug's own does."""
        if given or named != {"return_rule": True}:
            return super().match(*given, **named)
        place = self.default_method, self.path_info
        if place not in self.known:
            rule, values = super().match(return_rule=True)
            if values:
                return rule, values
            self.known[place] = rule, values
        return self.known[place]


class FormlessRequest(Request):
    """A request without uploads."""

    def close(self) -> None:
        """No file is open."""


class Application(Flask):
    """Flask as Glottis needs it; every method keeps what Flask promises of it but for what this module leaves out."""

    request_class = FormlessRequest
    session_interface = NoSessions()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._known_paths: dict[tuple[str, str], tuple[Rule, Mapping[str, Any]]] = {}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: to find out that it is not async takes 40 calls a request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the request's view; `Map.bind` would encode the name of a host first."""
        if request is None:
            return None
        paths = KnownPaths(self.url_map, "", "/", "", "http", request.path, request.method)
        paths.known = self._known_paths
        return paths

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Call the functions before a request, until one answers."""
        for before in self.before_request_funcs[None]:
            if (answer := before()) is not None:
                return cast("ResponseReturnValue", answer)
        return None

    def process_response(self, response: Response) -> Response:
        """Call the functions after a request, the last one first."""
        for after in reversed(self.after_request_funcs[None]):
            response = cast("Response", after(response))
        return response

    def do_teardown_request(self, *_: Any) -> None:
        """Nothing is to be torn down, and nobody hears of it."""

    def do_teardown_appcontext(self, *_: Any) -> None:
        """As with a request."""
