"""What gunicorn serves: `gunicorn wsgi:app`."""

import sys

from app.factory import create_app
from app.settings import Settings, SettingsError

try:
    app = create_app(Settings.load())
except SettingsError as error:
    sys.exit(str(error))
