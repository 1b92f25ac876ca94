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

    def thinks(self, effort: str | None) -> bool:
        """Whether the model reasons before it speaks, if it is asked for this effort or, with None, for none."""
        if effort is None and self.quiet:
            effort = self.efforts[0]
        return bool(self.efforts) and effort not in (None, "none", "minimal")


facts_of = lookup(Path(__file__).parent / "models.toml", ModelFacts)
