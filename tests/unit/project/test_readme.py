"""The READMEs and guides say the same in each language, and name only what there is."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import mistune
import pytest

from private_s3.cli import main
from private_s3.doctor.symptoms import SYMPTOMS
from private_s3.parameters import Parameters
from private_s3.rehearsing import lab
from rehearsal.symptoms import SYMPTOMS as PLANTED
from tests import PROJECT

MADE_BY_RUNS = {"build", "changes", "node_modules"}
DOCUMENTS = [
    path
    for path in sorted(PROJECT.rglob("*.md"))
    if not MADE_BY_RUNS & {*(names := path.relative_to(PROJECT).parts)}
    and not any(name.startswith(".") for name in names)
]
ENGLISH = [path for path in DOCUMENTS if path.with_suffix(".ja.md") in DOCUMENTS]
JAPANESE = [path.with_suffix(".ja.md") for path in ENGLISH]
GUIDE = PROJECT / "runbooks/README.md"

parse = mistune.create_markdown(renderer="ast", plugins=["table"])


def name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name)
each_pair = pytest.mark.parametrize("path", ENGLISH, ids=name)


@dataclass
class Section:
    """What stands under one heading."""

    level: int
    title: str
    tables: list[tuple[int, ...]] = field(default_factory=list)  # cells in each of its rows
    lists: list[int] = field(default_factory=list)  # how many points each has
    blocks: list[tuple[str, str]] = field(default_factory=list)  # language and text of fenced code
    code: list[str] = field(default_factory=list)  # what is marked as code within the prose
    links: list[str] = field(default_factory=list)
    images: list[tuple[str, str]] = field(default_factory=list)  # address and alternative text
    prose: list[str] = field(default_factory=list)


@cache
def sections(path: Path) -> list[Section]:
    """A document by its headings; it begins with one."""
    found: list[Section] = []
    for token in parse(path.read_text(encoding="utf-8")):
        if token["type"] == "heading":
            found.append(Section(token["attrs"]["level"], text_of(token)))
        elif token["type"] != "blank_line":
            collect(found[-1], token)
    return found


def collect(section: Section, token: dict[str, Any]) -> None:
    kind, attributes = token["type"], token.get("attrs", {})
    children = token.get("children", [])
    if kind == "block_code":
        section.blocks.append((attributes.get("info", ""), token["raw"]))
    elif kind == "codespan":
        section.code.append(html.unescape(token["raw"]))
    elif kind == "link":
        section.links.append(unquote(attributes["url"]))
    elif kind == "image":
        section.images.append((attributes["url"], text_of(token)))
    elif kind in ("block_html", "inline_html"):
        section.images += images_of(token["raw"])
    elif kind == "table":
        head, body = children
        rows = [head, *body["children"]]
        section.tables.append(tuple(len(row["children"]) for row in rows))
    elif kind == "list":
        section.lists.append(len(children))
    elif kind in ("paragraph", "block_text"):
        section.prose.append(text_of(token))
    for child in children if kind != "image" else []:
        collect(section, child)


def text_of(token: dict[str, Any]) -> str:
    raw = token.get("raw", "\n" if token["type"] == "softbreak" else "")
    return raw + "".join(map(text_of, token.get("children", [])))


def images_of(markup: str) -> Iterator[tuple[str, str]]:
    """The pictures of a piece of HTML; a source has the words of the picture that it replaces."""
    tags = [
        dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        for tag in re.findall(r"<(?:img|source)\s[^>]*>", markup)
    ]
    words = next((tag["alt"] for tag in tags if "alt" in tag), "")
    for tag in tags:
        yield tag.get("src") or tag["srcset"], words


# -- Two languages --------------------------------------------------------------------------------


def test_readme_and_guide_are_there_in_both_languages() -> None:
    assert {name(path) for path in ENGLISH} == {
        "README.md",
        "runbooks/README.md",
        "runbooks/change-folder.md",
    }


@each_pair
def test_the_headings_are_the_same(path: Path) -> None:
    english, japanese = (
        [section.level for section in sections(one)] for one in (path, path.with_suffix(".ja.md"))
    )
    assert japanese == english


@each_pair
def test_each_section_has_the_same_tables_and_lists(path: Path) -> None:
    for english, japanese in pairs(path):
        assert japanese.tables == english.tables, english.title
        assert japanese.lists == english.lists, english.title


@each_pair
def test_each_section_has_the_same_commands(path: Path) -> None:
    for english, japanese in pairs(path):
        assert without_comments(japanese) == without_comments(english), english.title


@each_pair
def test_each_section_marks_the_same_words_as_code(path: Path) -> None:
    for english, japanese in pairs(path):
        assert Counter(japanese.code) == Counter(english.code), english.title


@each_pair
def test_each_section_has_the_same_links_and_pictures(path: Path) -> None:
    for english, japanese in pairs(path):
        here, there = path, path.with_suffix(".ja.md")
        assert sorted(targets(there, japanese)) == sorted(targets(here, english)), english.title
        addresses = [[image for image, _ in one.images] for one in (english, japanese)]
        assert addresses[0] == addresses[1], english.title


@each_pair
def test_one_language_leads_to_the_other_once_and_else_stays_by_itself(path: Path) -> None:
    for here, others in ((path, JAPANESE), (path.with_suffix(".ja.md"), ENGLISH)):
        found = [file_of(here, link) for one in sections(here) for link in one.links]
        (counterpart,) = {path, path.with_suffix(".ja.md")} - {here}
        assert [other for other in found if other in others] == [counterpart]


@pytest.mark.parametrize("path", JAPANESE, ids=name)
def test_the_japanese_text_is_japanese_and_breaks_lines_only_after_a_sentence(path: Path) -> None:
    for section in sections(path):
        for words in [*section.prose, *(words for _, words in section.images)]:
            assert re.search(r"[\u3041-\u30ff]", words), words
            assert not re.search(r"[^。]\n", words), words


def pairs(path: Path) -> Iterator[tuple[Section, Section]]:
    return zip(sections(path), sections(path.with_suffix(".ja.md")), strict=True)


def without_comments(section: Section) -> list[tuple[str, str]]:
    return [
        (language, re.sub(r"(^|\s+)# .*$", "", text, flags=re.M))
        for language, text in section.blocks
    ]


def targets(path: Path, section: Section) -> Iterator[tuple[str, int]]:
    """Where each link leads, whatever the language: the file, and which of its headings."""
    for link in section.links:
        if "://" in link:
            yield link, 0
            continue
        there = file_of(path, link)
        _, _, anchor = link.partition("#")
        heading = anchors(there).index(anchor) if anchor else 0
        yield name(there).replace(".ja.md", ".md"), heading


# -- What there is --------------------------------------------------------------------------------


@every_document
def test_each_link_and_picture_leads_to_something_in_the_project(path: Path) -> None:
    for section in sections(path):
        for link in [*section.links, *(image for image, _ in section.images)]:
            if "://" in link:
                continue
            there = file_of(path, link)
            assert there.exists(), link
            assert there.is_relative_to(PROJECT), link
            assert not MADE_BY_RUNS & {*there.relative_to(PROJECT).parts}, link
            if "#" in link:
                assert link.partition("#")[2] in anchors(there), link


@every_document
def test_each_picture_is_told_in_words(path: Path) -> None:
    for section in sections(path):
        for image, words in section.images:
            assert len(words) > 30, image


@every_document
def test_each_private_s3_command_is_one_with_these_options(path: Path) -> None:
    for words in commands(path):
        if Path(words[0]).name == "private-s3":
            refused = refusal(words[1:])
            assert not refused, f"{shlex.join(words)}: {refused}"


@every_document
def test_each_option_that_prose_names_is_one_of_some_command(path: Path) -> None:
    options = [option for command in main.commands.values() for option in command.params]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    for section in sections(path):
        for code in section.code:
            for option in re.findall(r"(?:^|\s)(--[a-z-]+)", code):
                assert option in known or not is_ours(code), code
            if code.startswith("private-s3 "):
                assert code.split()[1] in main.commands, code


@every_document
def test_each_make_verb_is_in_the_makefile(path: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^([a-z]\w*):", makefile, re.M))
    named = [words[1] for words in commands(path) if words[0] == "make" and len(words) > 1]
    for section in sections(path):
        named += [code.split()[1] for code in section.code if code.startswith("make ")]
    assert not {*named} - verbs


@every_document
def test_each_file_that_code_names_is_there(path: Path) -> None:
    code = [word for words in commands(path) for word in words]
    code += [code for section in sections(path) for code in section.code]
    folders = "|".join(sorted(p.name for p in PROJECT.iterdir() if p.is_dir() and p.name[0] != "."))
    for word in {*code} - {"params/mine.yaml"}:
        if re.fullmatch(rf"({folders})/[\w./-]*", word) and not word.startswith("changes/"):
            assert (PROJECT / word).exists(), word
        for step in re.findall(r"\b\d0_[a-z_]+", word):
            assert (PROJECT / "notebooks" / f"{step}.ipynb").exists(), word


def test_the_readme_shows_the_route_that_notebook_30_shows() -> None:
    blocks = [block for section in sections(PROJECT / "README.md") for block in section.blocks]
    (shown,) = (text for language, text in blocks if language == "text")
    notebook = json.loads((PROJECT / "notebooks/30_inspect_route_diff.ipynb").read_text("utf-8"))
    outputs = [
        "".join(output.get("data", {}).get("text/plain", "")).split()
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    ]
    assert shown.split() in outputs


def test_the_guide_has_each_exit_code_and_each_level_of_restrict_to() -> None:
    codes = re.findall(r"\b(\d)\s", main.help or "")
    levels = Parameters.model_json_schema()["properties"]["restrict_to"]["enum"]
    assert [row[0] for row in rows("exit code")] == codes
    assert [row[0] for row in rows("level")] == levels


def test_the_guide_has_each_symptom_and_whether_it_can_be_planted() -> None:
    assert [(int(number), name, planted) for number, name, *_, planted in rows("number")] == [
        (number, symptom.name, "yes" if symptom.name in PLANTED else "no")
        for number, symptom in SYMPTOMS.items()
    ]


def rows(first: str) -> list[list[str]]:
    """The cells of the guide's table whose first column has this name, without code marks."""
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2
    table = takewhile(lambda line: line.startswith("|"), lines[begin:])
    return [[cell.strip(" `") for cell in line.strip("| ").split(" | ")] for line in table]


def file_of(path: Path, link: str) -> Path:
    before, _, _ = link.partition("#")
    return (path.parent / before).resolve() if before else path


def anchors(path: Path) -> list[str]:
    """The headings of a document, as links name them."""
    named = [re.sub(r"[^\w\- ]", "", s.title.lower()).replace(" ", "-") for s in sections(path)]
    assert len(named) == len({*named}), f"{path}: two headings of one name"
    return named


def commands(path: Path) -> Iterator[list[str]]:
    """The commands of the fenced blocks of a document, in words."""
    for section in sections(path):
        for language, text in section.blocks:
            for line in text.replace("\\\n", " ").splitlines() if language == "sh" else ():
                words = shlex.split(line, comments=True)
                while words and "=" in words[0]:
                    words = words[1:]
                if words:
                    yield words


def refusal(arguments: list[str]) -> str:
    """Why the command line does not take these arguments; empty if it does."""
    with click.Context(main) as context:
        try:
            subcommand, command, rest = main.resolve_command(context, arguments)
            assert command
            # What `lab` hands on is a command with options of its own, which stand after it.
            strict = {
                "ignore_unknown_options": False,
                "allow_interspersed_args": command is not lab,
            }
            command.make_context(subcommand, rest, parent=context, **strict)
        except click.UsageError as error:
            return error.format_message()
    return ""


def is_ours(code: str) -> bool:
    """Whether a piece of code that has an option is of private-s3."""
    return code.startswith(("--", "private-s3 "))
