"""The world outside: every model behind one port that yields events."""
