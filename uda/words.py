"""Words for messages: what somebody may have meant, and what to type next."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest choice, or nothing.

    Choices that the word holds come first: other libraries' names are put together
    of several.
    """
    known = list(choices)
    plain = unicodedata.normalize("NFC", word)
    if any(unicodedata.normalize("NFC", choice) == plain for choice in known):
        return " (it is written in another Unicode form; copy the name from the list)"
    held = [c for c in known if len(c) > 3 and c.lower() in word.lower()]
    meant = [c for c in held if not any(c != o and c in o for o in held)]
    meant = meant or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, meant))}?)" if meant else ""


def data_flags(
    unlabeled: Iterable[object],
    *,
    multi_label: bool = False,
    tree: object = None,
    good_class: str | None = None,
) -> list[str]:
    """Return the options that every command on the same data needs, as words."""
    words = [word for folder in unlabeled for word in ("--unlabeled", str(folder))]
    words += ["--multi-label"] * multi_label
    words += ["--tree", str(tree)] if tree else []
    return words + (["--good-class", good_class] if good_class else [])
