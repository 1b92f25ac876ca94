"""Where the views find the desk that takes turns."""

from flask import Flask, current_app

from app.engine.turn import Desk


def desk() -> Desk:
    """Return the desk of the application whose request this is."""
    return desk_of(current_app)


def desk_of(app: Flask) -> Desk:
    """Return an application's desk."""
    found: Desk = app.extensions["glottis.desk"]
    return found
