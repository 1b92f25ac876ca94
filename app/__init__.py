"""Glottis: the language-model server behind an ElevenLabs voice agent."""

__version__ = "0.1.0"
