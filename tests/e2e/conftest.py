"""The server as it is deployed, with the real embedded model behind every provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import BIN, ROOT, Gateway

from app.providers.local.process import LocalModel

CONFIG = """
[defaults.budget]
idle_s = 60

[providers.llama]
kind = "openai"
base_url = "{url}"
api_key_env = "LLAMA_KEY"

[routes.own-function]
target = "function:my_agent:answer"

[routes.embedded]
target = "local/smollm2"
"""


@pytest.fixture(scope="session")
def model() -> Iterator[LocalModel]:
    """The real model, as a server that speaks both APIs."""
    process = LocalModel()
    process.start()
    try:
        assert process.wait_ready(60)
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
def deployed(model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The Procfile's own command, OpenAI's and Anthropic's places taken by the real model."""
    env = {
        "OPENAI_API_KEY": model.api_key,
        "OPENAI_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": model.api_key,
        "ANTHROPIC_BASE_URL": model.url.removesuffix("/v1"),
        "LLAMA_KEY": model.api_key,
    }
    folder: Path = tmp_path_factory.mktemp("deployed")
    _, _, web = (ROOT / "Procfile").read_text().partition("web: ")
    command = ["bash", "-c", f"PATH={BIN}:$PATH exec {web.strip()}"]
    with Gateway(env, config=CONFIG.format(url=model.url), folder=folder, command=command) as gateway:
        yield gateway
