"""The docs say what the code does: settings, TOML examples, links and app.json, held against it."""

import ast
import json
import os
import re
import sys
import textwrap
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from gateway import ROOT
from marshmallow import Schema, fields

from app.domain.config import USUAL_FIRST_TOKEN_S, Budget
from app.domain.errors import GlottisError, InternalError, ProviderError
from app.domain.limits import Limits
from app.domain.turn import Attempt, End, Outcome, TurnRecord
from app.engine.policy import Next, policy_of
from app.engine.race import BACK_OFF_S
from app.schemas.params import PARAMS
from app.settings import Settings
from app.settings.schema import ConfigSchema

README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "settings.md"
VOICE = ROOT / "docs" / "voice.md"
ERRORS = ROOT / "docs" / "errors.md"
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
EXAMPLE = ROOT / "glottis.example.toml"

ELSEWHERE = {
    "PORT",
    "WEB_CONCURRENCY",
    "SHUTDOWN_S",
    "PROMETHEUS_MULTIPROC_DIR",
    "GLOTTIS_DOTENV",
    "GLOTTIS_LOCAL_LOG",
}
"""Variables that gunicorn.conf.py, the embedded model's process and Settings.load read by themselves."""

ALIASES = {"routes.NAME.target"}
"""Keys that a schema takes before it looks at its fields."""

ROUTE_BUDGET = "routes.NAME.budget."
"""A route's budget takes the keys of `defaults.budget`: one row, `routes.NAME.budget.KEY`, stands for all of them."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \|(?P<rest>.*)\|$", re.MULTILINE)

SECTIONS = [
    (README, "### Environment variables"),
    (README, "### glottis.toml"),
    (REFERENCE, "## Where variables come from"),
    (REFERENCE, "## glottis.toml"),
]


def section(page: Path, heading: str) -> str:
    """Return the text under a heading, as far as the next heading of any level."""
    _, _, after = page.read_text().partition(f"\n{heading}\n")
    assert after, f"{page.name} has no {heading}"
    return re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(page: Path, heading: str) -> dict[str, list[str]]:
    """Return a settings table: the cells that follow each name."""
    found = [
        (row["name"], [cell.strip() for cell in row["rest"].split(" | ")])
        for row in ROW.finditer(section(page, heading))
    ]
    table = dict(found)
    assert len(table) == len(found), f"{page.name}: a name stands twice under {heading}"
    return table


def variables() -> set[str]:
    """Return the names of the variables that app/settings reads by `env.<type>(NAME, ...)` or `read_it(env, NAME)`."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "app/settings").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {name for call in calls for name in _variable_of(call)}


def _variable_of(call: ast.Call) -> list[str]:
    is_method = isinstance(call.func, ast.Attribute) and _is_env(call.func.value)
    names = call.args[:1] if is_method else call.args[1:2] if call.args and _is_env(call.args[0]) else []
    return [name.value for name in names if isinstance(name, ast.Constant)]


def _is_env(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "env"


def keys(schema: Schema, path: str = "") -> Iterator[str]:
    """Yield the path of every key that a TOML schema takes; NAME stands where the user chooses the name."""
    for name, field in schema.fields.items():
        if isinstance(field, fields.Dict) and isinstance(field.value_field, fields.Nested):
            yield from keys(field.value_field.schema, f"{path}{name}.NAME.")
        elif isinstance(field, fields.Nested):
            yield from keys(field.schema, f"{path}{name}.")
        else:
            yield path + name


def gathered(names: Iterable[str]) -> set[str]:
    """Return the keys with those of a route's budget as one."""
    return {f"{ROUTE_BUDGET}KEY" if name.startswith(ROUTE_BUDGET) else name for name in names}


def cells(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of every row of a section's tables, their heads among them."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def numbers(page: Path, heading: str) -> list[list[float]]:
    """Return the rows of a section's tables that hold nothing but figures, each with or without a unit."""
    found = [[re.fullmatch(r"([\d.]+)(?: s)?", cell) for cell in row] for row in cells(page, heading)]
    return [[float(number[1]) for number in row if number] for row in found if all(row)]


def tree(error: type[GlottisError]) -> Iterator[type[GlottisError]]:
    """Yield an error and all that descend from it."""
    yield error
    for child in error.__subclasses__():
        yield from tree(child)


def blocks(language: str) -> list[Any]:
    """Return every fenced block of a language, as test parameters with page and number."""
    return [
        pytest.param(textwrap.dedent(fence["text"]), id=f"{page.name}-{number}")
        for page in PAGES
        for number, fence in enumerate(FENCE.finditer(page.read_text()))
        if fence["language"] == language
    ]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """Load settings from a glottis.toml and nothing else; the functions that it names are made for it."""
    for name in list(os.environ):
        if name in variables() | ELSEWHERE:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLOW_ANONYMOUS", "true")

    def _load(text: str) -> Settings:
        for module_name, function in re.findall(r'"function:([\w.]+):(\w+)"', text):
            module = types.ModuleType(module_name)
            setattr(module, function, lambda request: "")
            monkeypatch.setitem(sys.modules, module_name, module)
        path = tmp_path / "glottis.toml"
        path.write_text(text)
        monkeypatch.setenv("GLOTTIS_CONFIG", str(path))
        return Settings.load()

    return _load


@pytest.mark.parametrize(("page", "heading"), [SECTIONS[0], SECTIONS[2]], ids=["README", "settings"])
def test_every_variable_is_in_the_docs(page: Path, heading: str) -> None:
    """Whoever looks for an environment variable finds exactly those that are read."""
    assert set(rows(page, heading)) == variables() | ELSEWHERE


def test_the_variables_read_elsewhere_are_read_there() -> None:
    """No variable stays in the docs that nothing reads any more."""
    sources = [ROOT / "gunicorn.conf.py", *ROOT.glob("app/**/*.py")]
    text = "\n".join(path.read_text() for path in sources)
    assert {name for name in ELSEWHERE if f'"{name}"' not in text and f"'{name}'" not in text} == set()


def test_every_toml_key_is_in_the_reference() -> None:
    """docs/settings.md has a row for each key of glottis.toml, and for nothing else."""
    assert set(rows(*SECTIONS[3])) == gathered(keys(ConfigSchema())) | ALIASES


def test_a_route_budget_has_the_keys_of_the_defaults() -> None:
    """The one row for a route's budget says the truth: any key of the defaults' budget, and no other."""
    both = [
        {key.removeprefix(prefix) for key in keys(ConfigSchema()) if key.startswith(prefix)}
        for prefix in ("defaults.budget.", ROUTE_BUDGET)
    ]
    assert both == [set(Budget.__struct_fields__)] * 2


def test_every_toml_key_is_in_the_readme() -> None:
    """The README has the same keys, with a route's parameters gathered in one row."""
    table = rows(*SECTIONS[1])
    parameters = set(re.findall(r"`(\w+)`", " ".join(table.pop("routes.NAME.PARAMETER"))))
    assert parameters == PARAMS
    parameter_keys = {f"routes.NAME.{name}" for name in PARAMS}
    assert set(table) == (gathered(keys(ConfigSchema())) | ALIASES) - parameter_keys


def budget_defaults(budget: Budget) -> dict[str, str]:
    """Return what the docs must say of each budget's default."""
    written = {
        name: f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"
        if value not in ("", None)
        else "none"
        for name, value in msgspec.structs.asdict(budget).items()
    }
    return written | {"first_token_s": f"`{USUAL_FIRST_TOKEN_S}`; longer for models that think"}


@pytest.mark.parametrize(("page", "heading"), SECTIONS, ids=lambda value: getattr(value, "name", value))
def test_defaults_are_the_real_ones(page: Path, heading: str, load: Callable[[str], Settings]) -> None:
    """A default in the docs is what an unset setting comes to."""
    settings = load("")
    real = {
        "ALLOW_ANONYMOUS": "`false`",
        "MAX_BODY_BYTES": f"`{settings.max_body_bytes}`",
        "MAX_TOKENS_LIMIT": "none" if settings.max_tokens_limit is None else settings.max_tokens_limit,
        "CONVERSATION_ID_FIELDS": f"`{','.join(settings.conversation_id_fields)}`",
        "LOG_LEVEL": f"`{settings.log.level}`",
        "LOG_FORMAT": f"`{settings.log.format}`",
        "LOG_CONTENT": "`false`",
        "LOCAL_PORT": f"`{settings.local_port}`",
        "HEADER_TIMEOUT_S": f"`{settings.clients.header_timeout_s}`",
        "BODY_TIMEOUT_S": f"`{settings.clients.body_timeout_s}`",
        "HSTS_S": f"`{settings.clients.hsts_s}`",
        "STORE_TIMEOUT_S": f"`{settings.store.timeout_s}`",
        "STORE_FAIL_CLOSED": "`false`",
        "TRUSTED_HOPS": f"`{settings.trusted_hops}`; 1 on Heroku",
        **{f"LIMIT_{name.upper()}": f"`{value}`" for name, value in msgspec.structs.asdict(settings.limits).items()},
        **{
            f"{table}.limits.{name}": f"`{value}`"
            for name, value in msgspec.structs.asdict(Limits()).items()
            for table in ("defaults", "routes.NAME")
        },
        "RECORD_TURNS": f"`{json.dumps(settings.records.on)}`; `true` with `DATABASE_URL`",
        "RECORDS_PATH": f"`{settings.records.path}`",
        "RECORDS_QUEUE": f"`{settings.records.queue}`",
        "RECORDS_KEPT_DAYS": f"`{settings.records.kept_days}`",
        "HEARTBEAT_S": f"`{settings.budget.heartbeat_s}`",
        **{f"defaults.budget.{name}": default for name, default in budget_defaults(settings.budget).items()},
        **{
            name: f"`{value}`"
            for name, value in re.findall(r'_whole\("(\w+)", (\d+)\)', (ROOT / "gunicorn.conf.py").read_text())
        },
    }
    assert {"WEB_CONCURRENCY", "SHUTDOWN_S"} <= set(real)
    written = {name: cells[1] for name, cells in rows(page, heading).items()}
    assert {name: written[name] for name in real if name in written} == {
        name: value for name, value in real.items() if name in written
    }


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_toml_example_is_valid(text: str, load: Callable[[str], Settings]) -> None:
    """Whoever pastes an example from the docs into glottis.toml has a server that boots."""
    assert {"defaults", "providers", "routes"} & set(tomllib.loads(text))
    load(text)


@pytest.mark.parametrize("text", blocks("python"))
def test_every_python_example_compiles(text: str) -> None:
    """An example of Python can be pasted."""
    compile(text, "example", "exec")


def test_the_example_configuration_is_valid_and_complete(load: Callable[[str], Settings]) -> None:
    """glottis.example.toml boots as it is, and has every key but the short and the long form of one."""
    text = EXAMPLE.read_text()
    load(text)
    config = tomllib.loads(text)
    tables = [("defaults", config["defaults"])]
    tables += [(f"{table}.NAME", entry) for table in ("providers", "routes") for entry in config[table].values()]
    tables += [
        (f"{path}.{name}", entry.pop(name)) for path, entry in tables for name in ("budget", "limits") if name in entry
    ]
    present = {f"{path}.{key}" for path, entry in tables for key in entry}
    assert gathered(present) == gathered(keys(ConfigSchema())) | ALIASES


def test_every_key_of_the_example_has_a_comment() -> None:
    """glottis.example.toml explains each budget where it stands: behind it, or in the line above."""
    budgets = EXAMPLE.read_text().partition("[defaults.budget]\n")[2].partition("\n[")[0]
    lines = [line for line in budgets.splitlines() if " = " in line and not line.startswith("#")]
    assert len(lines) == len(Budget.__struct_fields__)
    assert [line for line in lines if " # " not in line] == []


def test_the_budgets_of_the_voice_page() -> None:
    """docs/voice.md has every budget, with the default that it has."""
    written = {name: row[0] for name, row in rows(VOICE, "## The budgets").items()}
    assert written == budget_defaults(Budget())


def test_the_arithmetic() -> None:
    """The figures of docs/voice.md are those that its own formulas and the defaults come to."""
    budget = Budget()
    worst_try_s = (1 + budget.retries) * USUAL_FIRST_TOKEN_S + budget.retries * BACK_OFF_S
    defaults = [
        [count, count * USUAL_FIRST_TOKEN_S, count * budget.retries * BACK_OFF_S, count * worst_try_s]
        for count in (1, 2, 3)
    ]
    tables = numbers(VOICE, "## The arithmetic")
    assert [row for row in tables if len(row) == 4] == [pytest.approx(row) for row in defaults]
    choices = [row for row in tables if len(row) == 5]
    assert len(choices) == 5
    for count, first_token_s, hedge_after_s, last_begins_s, error_s in choices:
        assert last_begins_s == pytest.approx((count - 1) * (hedge_after_s or first_token_s))
        assert error_s == pytest.approx(last_begins_s + first_token_s)
        assert error_s < 4


NEXT = {Next.AGAIN: "the same target", Next.OTHER: "another target", Next.NONE: "nobody"}


def test_what_is_asked_again() -> None:
    """docs/voice.md says of every failure who is asked next, as the engine has it."""
    written = {name: row[1] for name, row in rows(VOICE, "## What is asked again").items()}
    kinds = [*tree(ProviderError), InternalError]
    assert written == {kind.__name__: NEXT[policy_of(kind())] for kind in kinds}


@pytest.mark.parametrize("page", [README, ERRORS], ids=lambda page: page.name)
def test_every_error_is_in_the_docs(page: Path) -> None:
    """Whoever gets an error finds its code, beside its status, in a table."""
    table = [line for line in page.read_text().splitlines() if line.startswith("|")]
    known = {(kind.status, kind.default_code) for kind in tree(GlottisError) if kind.default_code}
    told = {
        (status, code) for status, code in known for line in table if f"| {status} |" in line and f"`{code}`" in line
    }
    assert known == told


def test_every_field_of_the_log_line_is_in_the_readme() -> None:
    """Whoever reads a turn's line finds each of its fields, and each word that stands in one, in the README."""
    table = {name: row[1] for row in cells(README, "### The log line") for name in re.findall(r"`(\w+)`", row[0])}
    assert set(table) == {"time", "level", "event", *TurnRecord.__struct_fields__}
    assert set(get_args(End)) <= set(re.findall(r"`(\w+)`", table["end"]))
    assert {*get_args(Outcome), *Attempt.__struct_fields__} <= set(re.findall(r"`(\w+)`", table["attempts"]))


def test_the_voice_page_explains_the_log_line() -> None:
    """docs/voice.md names every end and every outcome where it says why it was silent."""
    text = section(VOICE, "## Why was it silent?")
    assert {word for word in (*get_args(End), *get_args(Outcome)) if f"`{word}`" not in text} == set()


def test_the_readmes_function_answers() -> None:
    """The ten lines of the README are a model that works."""
    code = next(fence["text"] for fence in FENCE.finditer(README.read_text()) if fence["language"] == "python")
    module: dict[str, Any] = {}
    exec(code, module)
    said = "".join(module["answer"](types.SimpleNamespace(last_user_text="Are you open on Saturday?")))
    assert said == "Let me look. On Saturday we are open from ten to two."
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_env_example_has_only_real_variables() -> None:
    """.env.example names nothing that the server does not read."""
    names = re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert names
    assert set(names) <= variables() | ELSEWHERE


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")


def prose(page: Path) -> str:
    """Return a page without its fenced blocks, whose `#` are no headings and whose brackets no links."""
    return FENCE.sub("", page.read_text())


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether a relative link names a file that exists and, if it has an anchor, a heading in it."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not anchor or anchor in {slug(heading["text"]) for heading in HEADING.finditer(prose(file))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each relative link names a file that exists, and each anchor a heading of its page."""
    targets = [link["target"] for link in LINK.finditer(prose(page))]
    relative = [target for target in targets if not target.startswith(("https://", "http://", "mailto:"))]
    assert [target for target in relative if not leads_somewhere(page, target)] == []


# https://devcenter.heroku.com/articles/app-json-schema: unknown fields are refused.
APP_JSON: dict[str, type] = {
    "name": str,
    "description": str,
    "keywords": list,
    "website": str,
    "repository": str,
    "logo": str,
    "success_url": str,
    "scripts": dict,
    "env": dict,
    "formation": dict,
    "image": str,
    "addons": list,
    "buildpacks": list,
    "environments": dict,
    "stack": str,
}
ENTRY: dict[str, type] = {"description": str, "value": str, "required": bool, "generator": str}
DYNOS: dict[str, type] = {"quantity": int, "size": str}
BUILDPACK: dict[str, type] = {"url": str}
SIZES = {"eco", "basic", "standard-1x", "standard-2x", "performance-m", "performance-l"}
STACKS = {"heroku-22", "heroku-24"}


def conforms(value: dict[str, Any], table: dict[str, type]) -> bool:
    """Whether an object has only the fields of a table, each of its type."""
    return all(name in table and type(inner) is table[name] for name, inner in value.items())


def test_app_json_fits_herokus_schema() -> None:
    """Heroku takes app.json: no unknown field anywhere, every value of its type, names and sizes that exist."""
    manifest = json.loads((ROOT / "app.json").read_text())
    assert conforms(manifest, APP_JSON)
    assert 3 <= len(manifest["name"]) <= 30
    assert len(manifest["description"]) <= 140
    assert all(isinstance(word, str) for word in manifest["keywords"])
    assert manifest["stack"] in STACKS
    assert all(conforms(buildpack, BUILDPACK) for buildpack in manifest["buildpacks"])
    for name, entry in manifest["env"].items():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
        assert conforms(entry, ENTRY)
        assert entry.get("generator") in (None, "secret")
        assert not {"value", "generator"} <= set(entry)
    for dynos in manifest["formation"].values():
        assert conforms(dynos, DYNOS)
        assert dynos["size"] in SIZES


def test_app_json_sets_only_what_is_read() -> None:
    """A variable that app.json asks for is one of ours, or gunicorn's own."""
    names = set(json.loads((ROOT / "app.json").read_text())["env"])
    assert names <= variables() | ELSEWHERE | {"GUNICORN_CMD_ARGS"}
