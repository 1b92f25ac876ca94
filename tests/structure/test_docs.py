"""The docs say what the code does: settings, TOML examples, links and app.json, held against it."""

import ast
import json
import os
import re
import sys
import textwrap
import tomllib
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import ROOT
from marshmallow import Schema, fields

from app.schemas.params import PARAMS
from app.settings import Settings, _ConfigSchema

README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "settings.md"
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
EXAMPLE = ROOT / "glottis.example.toml"

ELSEWHERE = {"PORT", "WEB_CONCURRENCY", "GLOTTIS_DOTENV", "GLOTTIS_LOCAL_LOG"}
"""Variables that gunicorn.conf.py, the embedded model's process and Settings.load read by themselves."""

ALIASES = {"routes.NAME.target"}
"""Keys that a schema takes before it looks at its fields."""

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
    """Return the names of the variables that app/settings.py reads by `env.<type>(NAME, ...)`."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "app/settings.py").read_text())) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def keys(schema: Schema, path: str = "") -> Iterator[str]:
    """Yield the path of every key that a TOML schema takes; NAME stands where the user chooses the name."""
    for name, field in schema.fields.items():
        if isinstance(field, fields.Dict) and isinstance(field.value_field, fields.Nested):
            yield from keys(field.value_field.schema, f"{path}{name}.NAME.")
        elif isinstance(field, fields.Nested):
            yield from keys(field.schema, f"{path}{name}.")
        else:
            yield path + name


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
    assert set(rows(*SECTIONS[3])) == set(keys(_ConfigSchema())) | ALIASES


def test_every_toml_key_is_in_the_readme() -> None:
    """The README has the same keys, with a route's parameters gathered in one row."""
    table = rows(*SECTIONS[1])
    parameters = set(re.findall(r"`(\w+)`", " ".join(table.pop("routes.NAME.PARAMETER"))))
    assert parameters == PARAMS
    parameter_keys = {f"routes.NAME.{name}" for name in PARAMS}
    assert set(table) == (set(keys(_ConfigSchema())) | ALIASES) - parameter_keys


@pytest.mark.parametrize(("page", "heading"), SECTIONS, ids=lambda value: getattr(value, "name", value))
def test_defaults_are_the_real_ones(page: Path, heading: str, load: Callable[[str], Settings]) -> None:
    """A default in the docs is what an unset setting comes to."""
    settings = load("")
    real = {
        "ALLOW_ANONYMOUS": "`false`",
        "MAX_BODY_BYTES": f"`{settings.max_body_bytes}`",
        "MAX_TOKENS_LIMIT": "none" if settings.max_tokens_limit is None else settings.max_tokens_limit,
        "CONVERSATION_ID_FIELDS": f"`{','.join(settings.conversation_id_fields)}`",
        "LOG_LEVEL": f"`{settings.log_level}`",
        "LOCAL_PORT": f"`{settings.local_port}`",
        "defaults.budget.connect_s": f"`{settings.budget.connect_s}`",
        "defaults.budget.idle_s": f"`{settings.budget.idle_s}`",
    }
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
    present = {f"defaults.{key}" for key in config["defaults"] if key != "budget"}
    present |= {f"defaults.budget.{key}" for key in config["defaults"]["budget"]}
    for table in ("providers", "routes"):
        present |= {f"{table}.NAME.{key}" for entry in config[table].values() for key in entry}
    assert present == set(keys(_ConfigSchema())) | ALIASES


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
