"""Tokens of PromQL, read in time and memory proportional to the length of the query.

Anyone who may create a twin may write any query of the CRD's length. So the regular expressions here never backtrack
(their quantifiers are possessive), and a quote that is never closed extends to the end of the text.
"""

from __future__ import annotations

import re

MAX_LEVELS = 128
"""Most operators plus nested brackets of a query that is parsed. Each may be a level of the syntax tree, and the parser
copies the subtree of each level."""

MAX_TOKENS = 2000
"""Most tokens (names, numbers, strings, signs) of a query that is parsed."""

STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|' + r"'[^'\\]*+(?:\\.[^'\\]*+)*+'?|`[^`]*+`?"
COMMENT = r"#[^\n]*+"
QUOTED = re.compile(rf"{STRING}|{COMMENT}", re.DOTALL)
"""A string or a comment, in which placeholders and quotes are treated differently."""

_TOKEN = re.compile(rf"(?:{COMMENT}|\s++)|(?P<token>{STRING}|[A-Za-z0-9_:.$]++|.)", re.DOTALL)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_COMPARISONS = frozenset("=!<>~")
_BEFORE_DURATIONS = frozenset({"offset", "["})
_LONGEST_DURATION = 1e11
_OPERATORS = frozenset({*"+-*/%^@[", "and", "or", "unless", "atan2", "offset"})


def too_complex(promql: str) -> str:
    """Return why a query must not be parsed, in words; empty where it may be.

    Strings and comments do not count. A ``[`` counts as an operator, too: a subquery is a level of its own, beside the
    brackets of the function around it.
    """
    tokens = operators = depth = deepest = in_braces = 0
    before = ""
    for found in _TOKEN.finditer(promql):
        sign = found.group("token")
        if sign is None:
            continue
        tokens += 1
        if sign in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
            in_braces += sign == "{"
        elif sign in _CLOSING:
            depth -= 1
            in_braces -= sign == "}"
        # Within braces signs of comparison belong to matchers, which are not nested.
        if (before in _BEFORE_DURATIONS or before.endswith(":")) and any(map(_is_endless, sign.split(":"))):
            return f"the duration {sign[:20]} is out of range"
        before = before if sign in "+-" else sign.lower()
        operators += sign.lower() in _OPERATORS or (sign in _COMPARISONS and in_braces <= 0)
    if operators + deepest > MAX_LEVELS:
        return f"it has {operators} operators and {deepest} nested brackets; together {MAX_LEVELS} are read"
    return f"it has {tokens} words and signs; {MAX_TOKENS} are read" if tokens > MAX_TOKENS else ""


def _is_endless(duration: str) -> bool:
    """Tell whether a duration in seconds is so large that the parser would panic."""
    try:
        return not abs(float(duration)) < _LONGEST_DURATION
    except ValueError:
        return False


def without_strings(promql: str) -> tuple[str, list[str]]:
    """Return the query with a number in place of the content of each string, and the strings by these numbers.

    Thus the parser compiles no regular expression of a user, which could take seconds and hundreds of megabytes. The
    numbers begin with a zero, so that they cannot be mistaken for the name of a label.
    """
    strings: list[str] = []

    def number(token: re.Match[str]) -> str:
        text = token.group()
        if text[0] == "#":
            return text
        strings.append(text)
        return f'"0{len(strings) - 1}"'

    return QUOTED.sub(number, promql), strings
