"""Where the views find the desk that takes turns."""

from flask import current_app

from app.engine.turn import Desk


def desk() -> Desk:
    """Return the application's desk."""
    found: Desk = current_app.extensions["glottis.desk"]
    return found
