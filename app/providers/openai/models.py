"""What differs between OpenAI's models: models.toml, read once."""

from pathlib import Path
from typing import Literal

import msgspec

from app.providers.facts import lookup


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of models.toml; its head explains the fields."""

    prefix: str
    efforts: list[str]
    quiet: bool
    sampling: Literal["free", "without_effort", "never"]
    tools_with_effort: bool
    first_token_s: float

    def effort(self, asked: str | None, *, with_tools: bool) -> str | None:
        """Return the effort to ask for, if any: as asked where the model takes it, else its least or its most."""
        if not self.efforts or (asked is None and not self.quiet):
            return None
        if with_tools and not self.tools_with_effort:
            return self.efforts[0]
        if asked in self.efforts:
            return asked
        return self.efforts[0] if asked in (None, "none", "minimal") else self.efforts[-1]

    def thinks(self, asked: str | None, *, with_tools: bool) -> bool:
        """Whether the model reasons before it speaks, if it is asked for this effort."""
        return self.effort(asked, with_tools=with_tools) not in (None, "none", "minimal")


facts_of = lookup(Path(__file__).parent / "models.toml", ModelFacts)
