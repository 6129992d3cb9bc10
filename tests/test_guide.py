"""The README and the guide: links lead somewhere, and what they say to type exists."""

import re
import shlex
from pathlib import Path

import click
import pytest

from resonance.app.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_headings_that_links_name_are_there(page):
    for link, heading in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            text = (page.parent / link if link else page).read_text(encoding="utf-8")
            titles = [
                re.sub(r"[^\w -]", "", t).strip() for t in re.findall(r"^#+ (.+)$", text, re.M)
            ]
            assert heading in [title.lower().replace(" ", "-") for title in titles], heading


def commands(page):
    """What stands on its own in code, without the remark behind it."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
        for line in block.splitlines()
    ]  # and what stands in a sentence:
    for code in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
        if code.startswith("resonance ") and "…" not in code:
            yield re.split(r"\s{2,}#|\s{3,}", code)[0]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_commands_and_options_exist(page):
    for code in commands(page):
        _, *words = shlex.split(code.split(" | ")[0].split(" > ")[0])
        command = main
        while words and isinstance(command, click.Group) and words[0].islower():
            assert words[0] in command.commands, code
            command = command.commands[words.pop(0)]
        known = {
            name for option in command.params for name in [*option.opts, *option.secondary_opts]
        }
        if command.context_settings.get("ignore_unknown_options"):
            continue  # a program of its own
        for word in words:
            option = word.split("=")[0]
            if re.match(r"--?[a-z]", option):
                assert option in known | {"--help"}, code


def test_tests_that_the_page_of_faults_names_are_there():
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\S+)::(\w+)`", page)
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test
