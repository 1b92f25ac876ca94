"""A Dockerfile, read so that what it does can be checked, and done without Docker."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gateway import ROOT


class Step(NamedTuple):
    """An instruction: its word, and the rest of it."""

    word: str
    rest: str

    @property
    def command(self) -> list[str]:
        """The command of a CMD or HEALTHCHECK in exec form; raises ValueError for the shell form."""
        parsed: list[str] = json.loads(self.rest.partition("CMD ")[2] if self.word == "HEALTHCHECK" else self.rest)
        return parsed

    @property
    def paths(self) -> list[str]:
        """The operands of a COPY: sources, and last the destination."""
        return [word for word in shlex.split(self.rest) if not word.startswith("--")]


class Stage(NamedTuple):
    """What follows a FROM."""

    base: str
    name: str
    steps: list[Step]


class Dockerfile:
    """A Dockerfile whose context is the root of the repository."""

    def __init__(self, path: Path) -> None:
        self.stages: list[Stage] = []
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "FROM":
                base, _, name = rest.partition(" AS ")
                self.stages.append(Stage(base, name, []))
            elif word:
                self.stages[-1].steps.append(Step(word, rest.strip()))

    def lineage(self, name: str = "") -> list[Stage]:
        """Return a stage, the last if none is named, after the stages that it is made from, base first."""
        found = next(stage for stage in reversed(self.stages) if name in ("", stage.name))
        line = [found]
        while parent := next((stage for stage in self.stages if stage.name == line[0].base), None):
            line.insert(0, parent)
        return line

    def steps(self, name: str = "") -> list[Step]:
        """Return all instructions of a stage with those of its lineage, in order."""
        return [step for stage in self.lineage(name) for step in stage.steps]

    def last(self, word: str, name: str = "") -> Step:
        """Return the instruction of that word which counts."""
        return [step for step in self.steps(name) if step.word == word][-1]

    def env(self, name: str = "") -> dict[str, str]:
        """Return the variables that a stage sets."""
        settings = [setting for step in self.steps(name) if step.word == "ENV" for setting in shlex.split(step.rest)]
        return dict(setting.split("=", 1) for setting in settings)

    def copy(self, folder: Path, name: str = "") -> None:
        """Copy into a folder what a stage has of this repository, each file where the image has it.

        Raises FileNotFoundError for a source without a wildcard that .dockerignore does not let through.
        """
        taken = [step.rest for step in self.steps(name) if step.word == "COPY"]
        builders = [stage.name for stage in self.stages if any(f"--from={stage.name} " in rest for rest in taken)]
        for made_in in [*builders, name]:
            workdir = PurePosixPath("/")
            for step in self.steps(made_in):
                if step.word == "WORKDIR":
                    workdir = PurePosixPath(step.rest)
                if step.word == "COPY" and "--from=" not in step.rest:
                    _copy(step.paths, workdir, folder)


def context() -> list[str]:
    """Return the files that .dockerignore lets through, by their paths from the root."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    compiled = [(not rule.startswith("!"), re.compile(_regex(rule.removeprefix("!")))) for rule in rules]
    return sorted(path for path in _files(ROOT) if not _is_ignored(path, compiled))


def _files(root: Path) -> Iterator[str]:
    heavy = {".git", ".venv", "node_modules", ".mypy_cache", ".ruff_cache", ".hypothesis", ".peers"}
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and entry.name not in heavy:
            yield from _files(entry)
        elif entry.is_file():
            yield entry.relative_to(ROOT).as_posix()


def _is_ignored(path: str, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    pure = PurePosixPath(path)
    names = [str(pure), *(str(parent) for parent in pure.parents[:-1])]
    verdicts = [ignores for ignores, pattern in rules if any(pattern.fullmatch(name) for name in names)]
    return bool(verdicts) and verdicts[-1]


def _regex(pattern: str) -> str:
    parts = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return "".join(parts.get(piece, re.escape(piece)) for piece in re.split(r"(\*\*/|\*)", pattern))


def _copy(paths: list[str], workdir: PurePosixPath, folder: Path) -> None:
    *sources, destination = paths
    files = context()
    for source in sources:
        named = [path for path in files if _fits(path, source)]
        below = [path for path in files if path.startswith(f"{source}/")]
        if not (named or below or re.search(r"[*?\[]", source)):
            raise FileNotFoundError(source)
        for path in named:
            inside = PurePosixPath(path).name if destination.endswith("/") else ""
            _put(ROOT / path, folder, workdir / destination / inside)
        for path in below:
            _put(ROOT / path, folder, workdir / destination / path.removeprefix(f"{source}/"))


def _fits(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and PurePosixPath(path).match(pattern)


def _put(source: Path, folder: Path, place: PurePosixPath) -> None:
    target = folder / str(place).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
