"""The life of a turn: route, race, relay, account. Knows neither Flask nor a vendor's SDK."""
