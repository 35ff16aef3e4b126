"""Look at a report in a real browser: light, dark, narrow, printed, by axe-core.

For the accessibility check install axe-core anywhere, and name its file:
``npm install --prefix DIR axe-core`` makes DIR/node_modules/axe-core/axe.min.js; give
its path in ``AXE_CORE``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.browser.test_tensorboard import FLAGS
from tests.support.reports import FILES, HOSTILE, PLAIN, make_run
from uda.cli import main
from uda.evaluation import evaluate as module

pytestmark = pytest.mark.slow

SCREENS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs a browser: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["plain", "hostile", "not evaluated"])
def report(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    hostile = request.param == "hostile"
    names = FILES if hostile else ()
    made = make_run(folder, HOSTILE if hostile else PLAIN, names=names, per_part=8)
    if request.param != "not evaluated":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "load_bundle", made.load_bundle)
            words = ["evaluate", str(made.folder), "--good-class", made.classes[0]]
            assert CliRunner().invoke(main, words).exit_code == 0
    assert CliRunner().invoke(main, ["report", str(made.folder)]).exit_code == 0
    return made.folder / "report.html"


def opened(
    browser: Any, report: Path, screen: str, **more: Any
) -> tuple[Any, list[str]]:
    """Open the page; return it with what went wrong and what was asked for."""
    page = browser.new_context(**SCREENS[screen], **more).new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith(("data:", report.as_uri()))
            else faults.append(asked.url)
        ),
    )
    page.goto(report.as_uri())
    page.wait_for_load_state("networkidle")
    return page, faults


@pytest.mark.parametrize("screen", SCREENS)
def test_it_opens_quietly_and_fits(browser, report, screen, tmp_path):
    page, faults = opened(browser, report, screen)
    page.screenshot(path=tmp_path / f"{screen}.png", full_page=True)
    assert faults == []
    wider = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(wider) <= 0, "the page scrolls sideways"
    # The policy lets the style sheet through.
    assert page.evaluate("getComputedStyle(document.body).marginTop") == "0px"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") is (screen != "dark")
    page.context.close()


def test_a_cell_of_the_matrix_opens_its_images_without_a_mouse(browser, report):
    page, faults = opened(browser, report, "light")
    links = page.locator(".matrix a")
    if links.count() == 0:
        pytest.skip("this run has no matrix")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    links.first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('details:has(:target)')?.open")
    picture = page.locator("details:has(:target) img").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("e => e.naturalWidth === 160", arg=picture.element_handle())
    assert faults == []
    page.context.close()


def test_it_prints(browser, report, tmp_path):
    page, faults = opened(browser, report, "dark")
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
    page.emulate_media(media="print")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert faults == []
    page.context.close()


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_serious(browser, report, screen):
    axe = os.environ.get("AXE_CORE")
    if not axe or not Path(axe).is_file():
        pytest.skip("axe-core is not installed; AXE_CORE names its axe.min.js")
    page, _ = opened(browser, report, screen, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.add_script_tag(path=axe)
    found = page.evaluate("axe.run()")
    wrong = [
        (rule["id"], rule["nodes"][0]["html"][:200])
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
    ]
    assert wrong == []
    assert len(found["passes"]) > 20
    page.context.close()
