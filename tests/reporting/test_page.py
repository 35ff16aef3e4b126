"""Pages: escaping, a policy that fits the style, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser

import jinja2
import pytest

from uda.reporting import page

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    "</style><script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "a\nb",
    "n\udcff",
    "\u202egpj.exe",
    "{{ 7 * 7 }}",
    "x" * 5000,
)


@pytest.fixture
def template(tmp_path, monkeypatch):
    """A page that prints one value everywhere, beside the real base."""

    def write(body: str) -> str:
        for name in ("base.html", "style.css"):
            real = page._TEMPLATES / name
            (tmp_path / name).write_text(real.read_text(encoding="utf-8"))
        (tmp_path / "one.html").write_text(body)
        monkeypatch.setattr(page, "_TEMPLATES", tmp_path)
        page._environment.cache_clear()
        return "one.html"

    yield write
    page._environment.cache_clear()


class Seen(HTMLParser):
    """Tags, attributes and text as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text += data


EVERYWHERE = """{% extends "base.html" %}
{% block title %}{{ name }}{% endblock %}
{% block main %}<p title="{{ name }}">{{ name }}</p>{% endblock %}"""


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_else(template, name):
    plain = Seen(page.render(template(EVERYWHERE), name="plain"))
    text = page.render("one.html", name=name)
    seen = Seen(text)
    assert seen.tags == plain.tags
    assert [a[:2] for a in seen.attributes] == [a[:2] for a in plain.attributes]
    text.encode("utf-8")  # no lone surrogate is left
    assert len(text) < len(page.render("one.html", name="plain")) + 3000
    if name.isprintable() and len(name) < 200:
        assert html.unescape(seen.text).count(name) == 2
    assert "\u202e" not in text


def test_a_value_that_is_missing_is_a_fault(template):
    name = template('{% extends "base.html" %}{% block main %}{{ nme }}{% endblock %}')
    with pytest.raises(jinja2.UndefinedError):
        page.render(name, name="x")


def test_the_policy_allows_this_style_and_no_other_source(template):
    text = page.render(template(EVERYWHERE), name="x")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(value for _, name, value in Seen(text).attributes
                  if name == "content" and "default-src" in (value or ""))  # fmt: skip
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    assert "script-src" not in rules


def test_nothing_comes_from_elsewhere(template):
    text = page.render(template(EVERYWHERE), name="x")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    seen = Seen(text)
    assert not {"script", "iframe", "object", "embed", "form"} & set(seen.tags)
    # A style attribute would need 'unsafe-inline'.
    assert "style" not in {name for _, name, _ in seen.attributes}


def _contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4
                  for p in parts]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_texts_and_curves_are_readable_in_every_theme(theme):
    style = (page._TEMPLATES / "style.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for name in ("ink", "soft", "link", "good", "bad", "warn"):
        for ground in ("page", "card"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("bad-card", "warn-card", "good-card"):
        assert _contrast(colours["ink"], colours[name]) >= 4.5
    for number in range(8):  # graphics need 3, texts in them are soft or ink
        assert _contrast(colours[f"s{number}"], colours["page"]) >= 3


def test_long_names_keep_both_ends():
    text = page.clean("a" * 300 + "z" * 300)
    assert text == "a" * 100 + "…" + "z" * 100
    assert page.clean("word " * 100) == "word " * 100
    assert page.clean(3) == 3
