"""The HTTP edge: Flask blueprints, auth, errors and the bytes of an answer."""
