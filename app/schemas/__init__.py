"""Wire JSON to domain types: the only room, with the settings, that imports marshmallow."""
