"""go.mod read as the go command reads that of a dependency (The Go Modules Reference, "go.mod files")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from reliquary.errors import Malformed
from reliquary.formats.go import versions
from reliquary.formats.go.names import shown, split_prefix_version, suffix_fault

LARGEST = 16 * 1_048_576
"""Bytes of a go.mod: the go command reads no larger one."""

LONGEST = 65_536
"""Characters of one of its lines."""

LINES = 100_000
"""Lines of it: a larger one would keep a reader busy for many seconds."""

_TOKEN = re.compile(
    r"""[ \t\r]+ | (?P<comment>//.*) | (?P<block>/\*)
    | (?P<word> [()\[\]{},] | "(?:[^"\\]|\\.)*" | `[^`]*` | (?!["`]) (?:(?!//|/\*)[^ \t\r()\[\]{},])+ )""",
    re.VERBOSE,
)
_PUNCTUATION = re.compile(r"[()\[\]{},]")
_BLOCKS = frozenset({"module", "require", "retract", "ignore", "godebug", "exclude", "replace", "tool"})
_GO = re.compile(r"[1-9][0-9]*\.(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))?(?:[a-z]+[0-9]+)?")
_LAX_GO = re.compile(r"v?([1-9][0-9]*\.(?:0|[1-9][0-9]*))[^0-9].*")
_TOOLCHAIN = re.compile(r"default|go1(?:\..*)?", re.DOTALL)
_DEPRECATED = re.compile(r"(?:^|\n\n)Deprecated: *(.*?)(?:\Z|\n\n)", re.DOTALL)
_SHORTHAND = re.compile(r"v[0-9]+(?:\.[0-9]+)?")
_ESCAPE = re.compile(r'\\(?:([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\"]))|[^\\]+')
_LETTERS = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


@dataclass(frozen=True, slots=True)
class Retraction:
    """Versions that their author takes back.

    Args:
        low, high: the first and the last of them; the same for a single one.
        rationale: the comment's text, lines apart; ``""`` without one.
    """

    low: str
    high: str
    rationale: str = ""

    def covers(self, version: str) -> bool:
        """Whether a version lies between the two, by semver."""
        low, asked, high = (versions.parse(_whole(each)) for each in (self.low, version, self.high))
        return low is not None and asked is not None and high is not None and low <= asked <= high


@dataclass(frozen=True, slots=True)
class GoMod:
    """What a go.mod says of its module.

    Args:
        module: its path, as it stands there; None where nothing says it.
        go: the language version, ``1.21`` or ``1.21.3``.
        toolchain: the suggested one, ``go1.21.3``.
        requires: module paths and versions, in order.
        retractions: in order; those that the go command of a dependent passes over are left out.
        deprecated: the text behind ``Deprecated:``, None where the module is not deprecated.
    """

    module: str | None
    go: str | None = None
    toolchain: str | None = None
    requires: tuple[tuple[str, str], ...] = ()
    retractions: tuple[Retraction, ...] = ()
    deprecated: str | None = None

    def rationales(self, version: str) -> tuple[str, ...]:
        """Of the retractions that cover a version; ``()`` where it is not retracted, ``("",)`` without a reason."""
        return tuple(each.rationale for each in self.retractions if each.covers(version))


Line: TypeAlias = tuple[list[str], str | None]
"""The words of a line and its comment, ``//`` left off."""


@dataclass(slots=True)
class _Statement:
    """A directive.

    Args:
        number: of its line, from 1.
        verb: what it is, such as ``require``.
        words: what stands behind the verb.
        comments: of the lines in front of it and of its own.
    """

    number: int
    verb: str
    words: list[str]
    comments: list[str]


@dataclass(slots=True)
class _Draft:
    """What the directives said so far."""

    module: str | None = None
    go: str | None = None
    toolchain: str | None = None
    requires: list[tuple[str, str]] = field(default_factory=list)
    retractions: list[Retraction] = field(default_factory=list)
    deprecated: str | None = None


def read(data: bytes) -> GoMod:
    """Read a go.mod; slow for large ones, for a thread.

    Directives that bind only a main module, and unknown ones, are passed over.

    Raises:
        Malformed: the message names the line. Nothing else is raised.
    """
    if len(data) > LARGEST:
        raise Malformed(f"the go.mod is larger than {LARGEST} bytes, which the go command refuses")
    draft = _Draft()
    for statement in _statements(data.decode("utf-8", "replace")):
        take = _DIRECTIVES.get(statement.verb)
        if take:
            take(draft, statement)
    return GoMod(
        draft.module, draft.go, draft.toolchain, tuple(draft.requires), tuple(draft.retractions), draft.deprecated
    )


def check(mod: GoMod, path: str) -> None:
    """Refuse a go.mod that is not one of this module.

    Raises:
        Malformed: it names another module, or none.
    """
    if mod.module is None:
        raise Malformed(f"the go.mod has no module directive; write module {shown(path)[1:-1]} into it")
    if mod.module != path:
        raise Malformed(f"the go.mod says module {shown(mod.module)}, and this is {shown(path)}; they must agree")


def _wrong(number: int, what: str) -> Malformed:
    return Malformed(f"line {number} of the go.mod: {what}")


def _lines(text: str) -> Iterator[tuple[int, Line]]:
    start, number = 0, 0
    while start <= len(text):
        number += 1
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if number > LINES:
            raise _wrong(number, f"it has more than {LINES} lines")
        if end - start > LONGEST:
            raise _wrong(number, f"it has more than {LONGEST} characters")
        yield number, _line(number, text[start:end])
        start = end + 1


def _line(number: int, text: str) -> Line:
    code, slashes, comment = text.partition("//")
    if '"' in text or "`" in text or "/*" in code:
        return _lexed(number, text)
    plain = _PUNCTUATION.sub(r" \g<0> ", code).replace("\t", " ").replace("\r", " ")
    # Of all white space only the blank counts as printable: it is the only one to split at.
    return (plain.split(), comment.strip() if slashes else None) if plain.isprintable() else _lexed(number, text)


def _lexed(number: int, text: str) -> Line:
    """The same for any line, token by token."""
    words: list[str] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _wrong(number, "a quoted string without an end")
        at = found.end()
        if found["comment"] is not None:
            return words, found["comment"][2:].strip()
        if found["block"]:
            raise _wrong(number, "a comment is written with //")
        word = found["word"]
        if word:
            if word[0] not in '"`' and not word.isprintable():
                raise _wrong(number, f"an unexpected character in {shown(word)}")
            words.append(word)
    return words, None


@dataclass(slots=True)
class _Block:
    """A factored directive that is still open.

    Args:
        number: of its first line.
        verb: of every line in it; None for one that is passed over.
        comments: of the lines in front of it.
    """

    number: int
    verb: str | None
    comments: list[str]


def _statements(text: str) -> Iterator[_Statement]:
    """The directives, those of a block one by one."""
    block: _Block | None = None
    first = True
    before: list[str | None] = []
    for number, (words, comment) in _lines(text):
        if not words:
            _wait(before, comment, block is not None, first)
        elif block is None:
            said = [each for each in before if each is not None]
            block = _opened(number, words, said)
            if block is None and not _is_empty_block(words):
                yield _Statement(number, words[0], words[1:], [*said, *([] if comment is None else [comment])])
            before, first = [], True
        elif words[0] == ")":
            if len(words) > 1:
                raise _wrong(number, "something stands behind the closing parenthesis")
            block, before = None, []
        else:
            if block.verb:
                yield _Statement(number, block.verb, words, _comments(block, before, comment))
            before, first = [], False
    if block:
        raise _wrong(block.number, "the block that begins here has no end")


def _opened(number: int, words: list[str], comments: list[str]) -> _Block | None:
    if len(words) < 2 or words[-1] != "(":
        return None
    verb = words[0] if len(words) == 2 and words[0] in _BLOCKS else None
    return _Block(number, verb, comments)


def _is_empty_block(words: list[str]) -> bool:
    return len(words) > 2 and words[-2:] == ["(", ")"]


def _wait(before: list[str | None], comment: str | None, inside: bool, first: bool) -> None:
    """Keep the comment of a line without words for the directive behind it; None stands for a blank line.

    Outside of a block a blank line sends the comments away. Inside it is kept, and hides the block's own comment.
    """
    if comment is not None:
        before.append(comment)
    elif not inside:
        before.clear()
    elif before[-1] is not None if before else not first:
        before.append(None)


def _comments(block: _Block, before: list[str | None], own: str | None) -> list[str]:
    if not before and own is None:
        return block.comments
    return [each for each in (*before, own) if each is not None]


def _module(draft: _Draft, statement: _Statement) -> None:
    if draft.module is not None:
        raise _wrong(statement.number, "a second module directive")
    if len(statement.words) != 1:
        raise _wrong(statement.number, "write module and one path")
    draft.module = _text(statement, statement.words[0])
    found = _DEPRECATED.search("\n".join(statement.comments))
    draft.deprecated = found[1] if found and found[1] else None


def _go(draft: _Draft, statement: _Statement) -> None:
    if draft.go is not None:
        raise _wrong(statement.number, "a second go directive")
    if len(statement.words) != 1:
        raise _wrong(statement.number, "write go and one version")
    said = statement.words[0]
    found = _LAX_GO.fullmatch(said)
    if not _GO.fullmatch(said) and not found:
        raise _wrong(statement.number, f"{shown(said)} is no version of Go; write one such as 1.23.0")
    draft.go = said if found is None or _GO.fullmatch(said) else found[1]


def _toolchain(draft: _Draft, statement: _Statement) -> None:
    """Dependents do not read it: what is wrong with it harms nobody."""
    if len(statement.words) == 1 and _TOOLCHAIN.fullmatch(statement.words[0]):
        draft.toolchain = draft.toolchain or statement.words[0]


def _require(draft: _Draft, statement: _Statement) -> None:
    if len(statement.words) != 2:
        raise _wrong(statement.number, "write require, a module path and a version")
    path, version = (_text(statement, word) for word in statement.words)
    exact = _whole(version)
    parsed = versions.parse(exact)
    if parsed is None:
        raise _wrong(statement.number, f"{shown(version)} is no version; write one such as v1.2.3")
    if parsed.build not in ("", versions.INCOMPATIBLE[1:]):
        exact = exact.partition("+")[0]
    if not _fits(path, exact):
        raise _wrong(statement.number, f"{shown(path)} can have no version {shown(version)}")
    draft.requires.append((path, exact))


def _retract(draft: _Draft, statement: _Statement) -> None:
    """What a later Go may write otherwise is passed over, as the go command does in a dependency."""
    words = statement.words
    if words and words[0] == "[":
        bounds = [words[1], words[3]] if len(words) >= 5 and (words[2], words[4]) == (",", "]") else []
    else:
        bounds = words[:1] * 2
    try:
        said = [_text(statement, bound) for bound in bounds]
    except Malformed:
        return
    if said and said[0] != "(":
        draft.retractions.append(Retraction(said[0], said[1], "\n".join(statement.comments)))


def _ignore(_: _Draft, statement: _Statement) -> None:
    if len(statement.words) != 1:
        raise _wrong(statement.number, "write ignore and one folder")
    _text(statement, statement.words[0])


_DIRECTIVES: Mapping[str, Callable[[_Draft, _Statement], None]] = {
    "module": _module,
    "go": _go,
    "toolchain": _toolchain,
    "require": _require,
    "retract": _retract,
    "ignore": _ignore,
}


def _text(statement: _Statement, word: str) -> str:
    """A word, or what a quoted string says; the go command takes no back-quoted one here."""
    if not word.startswith('"'):
        if any(quote in word for quote in "\"'`"):
            raise _wrong(statement.number, f"a quote in {shown(word)}; write it without, or between double quotes")
        return word
    out, at = b"", 1
    while at < len(word) - 1:
        found = _ESCAPE.match(word, at, len(word) - 1)
        if found is None:
            raise _wrong(statement.number, f"an unknown escape in {shown(word)}")
        out += _unquoted(statement, found)
        at = found.end()
    return out.decode("utf-8", "replace")


def _unquoted(statement: _Statement, found: re.Match[str]) -> bytes:
    octal, byte, short, long, letter = found.groups()
    number = int(octal, 8) if octal else int(byte or short or long or "0", 16)
    if (octal and number > 255) or 0xD800 <= number < 0xE000 or number > 0x10FFFF:
        raise _wrong(statement.number, f"{shown(found[0])} is no character")
    if octal or byte:
        return bytes([number])
    if letter:
        return _LETTERS[letter].encode()
    return (chr(number) if short or long else found[0]).encode()


def _whole(version: str) -> str:
    """A version with the zeros that ``v1`` and ``v1.2`` leave out."""
    return version + ".0" * (2 - version.count(".")) if _SHORTHAND.fullmatch(version) else version


def _fits(path: str, version: str) -> bool:
    """The lenient rule of a requirement: any major version may be incompatible."""
    if suffix_fault(path):
        return False
    loose = version.endswith(versions.INCOMPATIBLE) and not split_prefix_version(path)[1]
    return loose or versions.fits(path, version)
