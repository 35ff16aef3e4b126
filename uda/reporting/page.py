"""Self-contained HTML pages: one file, no script, nothing fetched, nothing run.

A page's content security policy allows its own style sheet, by its hash, and pictures
inside the page. Whatever a file or a class is called, it can only be read.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import Any

from uda.data.table import shown

_TEMPLATES = Path(__file__).parent / "templates"
_LONGEST = 200  # characters of a name; paths can have thousands
_PICTURE = re.compile(r"data:image/(jpeg|png);base64,[A-Za-z0-9+/]*={0,2}")


def render(template: str, **values: Any) -> str:
    """Return a page as HTML text.

    Every value is escaped where it is printed; control characters and bytes that are
    not UTF-8 are shown as escapes.

    Args:
        template: file name in ``uda/reporting/templates``; it extends ``base.html``,
            whose blocks are title, heading, contents, main and footer. Addresses of
            pictures go through the filter ``picture``.
        values: what the template prints; one that is missing is a fault.
    """
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    page = _environment().get_template(template)
    return str(page.render(style=_markup(style), policy=policy(style), **values))


def policy(style: str) -> str:
    """Return the content security policy of a page with this style sheet."""
    digest = hashlib.sha256(style.encode("utf-8")).digest()
    source = base64.b64encode(digest).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{source}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def clean(value: object) -> object:
    """Return printable text of text; markup and other values stay as they are.

    The middle of a very long name is left out.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _shortened(shown(value))


def picture(address: str) -> Any:
    """Return the address of a picture inside the page; a filter of the templates.

    Raises:
        ValueError: it leads elsewhere.
    """
    if not _PICTURE.fullmatch(address):
        raise ValueError(f"{address[:60]!r} is no picture inside the page")
    return _markup(address)


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST or " " in text:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}…{text[-half:]}"


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["picture"] = picture
    return environment


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)
