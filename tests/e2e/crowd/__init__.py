"""Thousands of callers, and a provider for them: a process each, one loop, bytes that are made once."""
