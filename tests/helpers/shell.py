"""Checks of shell commands without running them: files, options and sub-commands exist."""

import contextlib
import functools
import importlib.util
import io
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

import metatrain.__main__
from helpers.snippets import ROOT
from metatrain.utils.architectures import get_default_hypers
from omegaconf import OmegaConf

import metatrain_lorem.cli


# What the repository has: all other names are files of the user
SHIPPED = re.compile(r".*/.*|.*\.(py|sh)|in\.\w+")
WRITTEN = re.compile(r"outputs/.*|run/checkpoints/.*|page/.*")
OUTPUTS = {"-o", "--output", "--folder", "--plot", "-d", "-w"}
SEPARATORS = {"&&", "||", ";", "|", "&"}


def commands(text: str) -> Iterable[list[str]]:
    """Words of each command of a script, without comments and variables."""
    # Brackets around what may be left out
    text = re.sub(r"\[(-[^\]]*)\]", r"\1", text.replace("\\\n", " "))
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            while words and re.fullmatch(r"\w+=.*", words[0]):
                del words[0]
            if words:
                yield words
            words = []


def check(text: str, folder: Path) -> list[str]:
    """Check all commands, and tell which programs they call.

    :param folder: where they are run
    :raises AssertionError: saying what is not there
    """
    programs: list[str] = []
    for words in commands(text):
        if words[0] == "srun":
            del words[0]
        program = Path(words[0]).name
        assert program in CHECKS, f"no check of '{program}'"
        if program == "cd":
            folder = folder / words[1]
            assert folder.is_dir(), folder
        CHECKS[program](words[1:], folder)
        programs.append(program)
    return programs


def _exists(name: str, folder: Path) -> Path | None:
    """A file of the repository; none for a file of the user."""
    path = folder / name
    if path.exists():
        return path
    is_own = WRITTEN.fullmatch(name) or not SHIPPED.fullmatch(name)
    assert is_own, f"no file '{name}' in {folder}"
    return None


def output_of(main: Callable[[], None], *arguments: str) -> str:
    """What a command prints, such as its help."""
    output = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["command", *arguments]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        main()
    return output.getvalue()


@functools.cache
def _mtt_help(*arguments: str) -> str:
    return output_of(metatrain.__main__.main, *arguments, "--help")


@functools.cache
def _lorem_help(*arguments: str) -> str:
    return output_of(metatrain_lorem.cli.main, *arguments, "--help")


def _check_flags(words: list[str], text: str) -> list[str]:
    """Flags are in the help, and what remains are values and files to read."""
    rest: list[str] = []
    for before, word in zip(["", *words], words):
        if word.startswith("-"):
            flag = re.escape(word.partition("=")[0])
            assert re.search(rf"(?<![\w-]){flag}(?![\w-])", text), f"no option '{word}'"
        elif before not in OUTPUTS:
            rest.append(word)
    return rest


def _check_subcommand(words: list[str], help_of: Callable[..., str], folder: Path) -> None:
    if words[0] in ("--help", "--version"):
        _check_flags(words, help_of())
        return
    assert re.search(rf"(^ +|[{{,]){words[0]}\b", help_of(), re.MULTILINE), words[0]
    for word in _check_flags(words[1:], help_of(words[0])):
        if "=" not in word:
            _exists(word, folder)


def _mtt(words: list[str], folder: Path) -> None:
    _check_subcommand(words, _mtt_help, folder)
    for flag, value in zip(words, words[1:]):
        if flag in ("-r", "--override"):
            _check_override(value)


def _check_override(text: str) -> None:
    """A key of the options, with a value of a known type."""
    defaults = {"architecture": get_default_hypers("metatrain_lorem"), "seed": 0}
    key, _, value = text.partition("=")
    assert value, f"'{text}' has no value"
    missing = object()
    found = OmegaConf.select(OmegaConf.create(defaults), key, default=missing)
    assert found is not missing, f"no option '{key}'"


def _lorem(words: list[str], folder: Path) -> None:
    _check_subcommand(words, _lorem_help, folder)


def _python(words: list[str], folder: Path) -> None:
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
    elif words[0] == "-m":
        assert importlib.util.find_spec(words[1]) or words[1] == "build", words[1]
    else:
        script = _exists(words[0], folder)
        assert script is not None, f"no script '{words[0]}'"
        texts = [path.read_text() for path in script.parent.glob("*.py")]
        for word in _check_flags(words[1:], "\n".join(texts)):
            _exists(word, folder)


def _pip(words: list[str], folder: Path) -> None:
    assert words[0] in ("install", "wheel", "check", "list"), words[0]
    text = (ROOT / "pyproject.toml").read_text()
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    known = set(re.findall(r"^([\w-]+) = \[", section, re.MULTILINE))
    for word in words[1:]:
        found = re.fullmatch(r"(?:\.|metatrain-lorem)\[([\w,-]+)\]", word)
        if found:
            assert set(found.group(1).split(",")) <= known, word
        elif word.endswith(".txt"):
            assert (ROOT / word).exists(), word


def _bash(words: list[str], folder: Path) -> None:
    script = _exists(words[0], folder)
    if script is not None:
        for word in words[1:]:
            assert re.search(rf"\b{word}\b", script.read_text()), word


def _pytest(words: list[str], folder: Path) -> None:
    for word in words:
        assert not word.endswith(".py") or (folder / word).exists(), word


def _unchecked(words: list[str], folder: Path) -> None:
    pass


CHECKS: dict[str, Callable[[list[str], Path], None]] = {
    "bash": _bash,
    "mtt": _mtt,
    "mtt-lorem": _lorem,
    "pip": _pip,
    "pytest": _pytest,
    "python": _python,
    **dict.fromkeys(("cd", "export", "i-pi-driver-py", "source", "tox"), _unchecked),
}
