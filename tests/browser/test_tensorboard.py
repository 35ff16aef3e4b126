"""Look at a run in a real browser, as a person would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.fake_run import write_fake_run

pytestmark = pytest.mark.slow

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# Page, filter of its tags ("" where it has none), and what must stand on it.
# Without a filter TensorBoard folds all groups but the first ones.
PAGES = (
    ("scalars", "loss", ["loss/total", "loss/supervised", "loss/consistency"]),
    ("scalars", "unlabeled", ["unlabeled/mask_rate", "unlabeled/pseudo_share/Good"]),
    ("scalars", "Grind", ["labeled/kept_share/Grind_Marks_fine"]),
    ("scalars", "balanced", ["val/balanced_accuracy", "val_ema/balanced_accuracy"]),
    ("images", "matrix", ["val/confusion_matrix", "val_ema/confusion_matrix"]),
    ("images", "views|worst", ["unlabeled/views", "val_ema/worst_errors"]),
    ("text", "", ["takes 94 % of the pseudo labels", "unlabeled_ratio: 4"]),
    ("pr_curves", "", ["tag: val_ema/pr/Good", "tag: val_ema/pr/Rust"]),
    ("hparams", "", ["optimizer.lr", "hparam/balanced_accuracy"]),
    ("custom_scalars", "", ["per class", "labelled images kept (TSA)"]),
)


@pytest.fixture(scope="module")
def chromium() -> str:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    run = write_fake_run(tmp_path_factory.mktemp("runs") / "train")
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "uda", "monitor", str(run), "--port", "6100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        found = child.stdout.readline().split()[1]
        _wait_until_loaded(found)
        yield found
    finally:
        child.terminate()
        child.communicate(timeout=30)


def _wait_until_loaded(address: str) -> None:
    """Wait until the last thing that a run writes has been read."""
    for _ in range(240):
        try:
            url = f"{address}data/plugin/scalars/tags"
            with urllib.request.urlopen(url, timeout=5) as answer:
                if "hparam/macro_f1" in json.loads(answer.read()).get("train", {}):
                    return
        except OSError:
            pass
        time.sleep(0.25)
    pytest.fail(f"{address} did not load the run")


def test_every_page_shows_the_run_without_an_error(
    address: str, chromium: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    foreign: list[str] = []

    def watch(request: Any) -> None:
        local = (address, "data:", "blob:", "about:")
        if not request.url.startswith(local):
            foreign.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", watch)
        for number, (tab, tag_filter, texts) in enumerate(PAGES):
            page.goto("about:blank")
            page.goto(f"{address}#{tab}")
            if tag_filter:
                page.locator("tf-tag-filterer input:visible").fill(tag_filter)
            for text in texts:
                page.get_by_text(text, exact=False).first.wait_for(state="visible")
            page.wait_for_load_state("networkidle")
            if tab == "images":
                _pictures_are_loaded(page)
            page.screenshot(path=tmp_path / f"{number}-{tab}.png")
        browser.close()
    assert errors == []
    assert foreign == []


def _pictures_are_loaded(page: Any) -> None:
    pictures = page.locator("img")
    widths = [
        picture.evaluate("image => image.naturalWidth") for picture in pictures.all()
    ]
    assert len(widths) >= 2
    assert min(widths) > 200
