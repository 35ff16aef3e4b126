"""`uda report`, end to end from `uda evaluate`: what is on the page, and what not."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.reporting.test_verdict import facts
from tests.support.reports import FILES, HOSTILE, make_run
from uda.cli import main
from uda.evaluation import evaluate as module

HEADINGS = [
    "The answer", "Data", "Classes", "What is taken for what", "Precision and recall",
    "Calibration", "Worst errors", "Training", "Views", "Unlabelled images",
    "Decision rule", "How to repeat it", "Files left out",
]  # fmt: skip


class Page(HTMLParser):
    """The page as a browser reads it: tags, attributes, text, headings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_bytes().decode("utf-8")
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.headings: list[str] = []
        self.within = ""
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.within = tag
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag):
        self.within = ""

    def handle_data(self, data):
        if self.within == "style":
            return
        self.text += data
        if self.within == "h2":
            self.headings[-1] += data

    def values(self, tag: str, name: str) -> list[str]:
        return [v for t, n, v in self.attributes if (t, n) == (tag, name)]


def test_only_a_report_is_replaced(tmp_path):
    run = make_run(tmp_path).folder
    page, photo = tmp_path / "page.html", tmp_path / "photo.png"
    for _ in range(2):
        assert call("report", run, "--out", page).exit_code == 0
    photo.write_bytes(b"mine")
    refused = call("report", run, "--out", photo)
    assert refused.exit_code == 2
    assert "call it .html" in refused.stderr
    page.write_text("<html>my own page</html>")
    refused = call("report", run, "--out", page)
    assert refused.exit_code == 2
    assert "is no report" in refused.stderr
    assert page.read_text() == "<html>my own page</html>"


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A run with a good class, evaluated once; tests may write reports of it."""
    made = make_run(tmp_path_factory.mktemp("plain"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_bundle", made.load_bundle)
        result = call("evaluate", made.folder, "--good-class", "Good")
    assert result.exit_code == 0, result.output
    return made.folder


def test_the_page_says_everything_the_answer_first(evaluated):
    result = call("report", evaluated)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(str(evaluated / "report.html"))
    page = Page(evaluated / "report.html")
    assert page.headings == HEADINGS
    text = " ".join(page.text.split())
    metrics = json.loads((evaluated / "evaluation/test/metrics.json").read_text())
    numbers = metrics["weights"]["ema"]
    rust = numbers["per_class"][1]["recall"]
    assert f"({rust['part']} of 6;" in text
    assert "of the defective parts pass as Good" in text
    assert "its own warm start" in text
    assert "18 labelled images of 3 classes in 9 groups" in text
    assert "9 unlabelled images" in text
    assert "all right would prove a recall of only 0.29" in text  # 0.025 ** (1 / 3)
    assert "weight cut to 50%" in text
    assert "Few <b>validation</b> images." in text
    assert "bad<b>.png" in text
    assert "method uda, network small, 16×16 pixels, seed 3" in text
    assert str(Path.home()) not in text
    assert "<code>uda train" in page.source  # the command without its folder
    counts = [cell for row in numbers["counts"] for cell in row if cell]
    links = [h for h in page.values("a", "href") if h.startswith("#cell")]
    assert len(links) == len(counts)
    anchors = set(page.values("div", "id"))
    assert {link[1:] for link in links} <= anchors


def test_nothing_comes_from_elsewhere(evaluated):
    assert call("report", evaluated).exit_code == 0
    page = Page(evaluated / "report.html")
    assert not {"script", "iframe", "object", "embed", "form"} & set(page.tags)
    for tag in ("img", "link", "source", "image", "use"):
        for name in ("src", "href", "srcset", "xlink:href"):
            assert all(v.startswith("data:") for v in page.values(tag, name))
    assert all(h.startswith("#") for h in page.values("a", "href"))
    assert not re.search(r"https?:", page.source)
    assert not any(name == "style" for _, name, _ in page.attributes)
    assert len(page.values("img", "src")) > 5
    assert all(page.values("img", "alt"))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert len(page.source) < 1_500_000


def test_names_of_files_and_classes_are_text(tmp_path, monkeypatch, evaluated):
    made = make_run(tmp_path, HOSTILE, names=FILES)
    monkeypatch.setattr(module, "load_bundle", made.load_bundle)
    result = call("evaluate", made.folder, "--good-class", HOSTILE[0])
    assert result.exit_code == 0, result.output
    assert call("report", made.folder).exit_code == 0
    page = Page(made.folder / "report.html")
    assert "script" not in page.tags
    names = {name for _, name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert all(
        v.startswith("data:image/jpeg;base64,") for v in page.values("img", "src")
    )
    assert HOSTILE[0] in page.text
    assert HOSTILE[1] in page.text
    assert "line\\nbreak" in page.text
    assert "test-n\\udcff.png" in page.text
    assert '"><script>alert(1)<' in page.text
    for path in made.folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.reader(stream):
                assert not [c for c in row if c.startswith(("=", "+", "@", "\t"))], path


def test_images_are_left_out_on_request(evaluated, tmp_path):
    out = tmp_path / "deep" / "page.html"
    result = call("report", evaluated, "--out", out, "--no-thumbnails")
    assert result.exit_code == 0, result.output
    page = Page(out)
    assert "img" not in page.tags
    assert "(--no-thumbnails)" in page.text
    assert "holds copies of images" not in page.text
    assert page.headings == HEADINGS


def test_an_evaluation_that_kept_none_is_told(tmp_path, monkeypatch):
    made = make_run(tmp_path)
    monkeypatch.setattr(module, "load_bundle", made.load_bundle)
    assert call("evaluate", made.folder, "--no-thumbnails").exit_code == 0
    assert call("report", made.folder).exit_code == 0
    page = Page(made.folder / "report.html")
    assert "img" not in page.tags  # nor views, which training left in tb/
    assert "the evaluation kept none" in page.text
    assert "--good-class CLASS tells it" in " ".join(page.text.split())


@pytest.mark.parametrize("history", [True, False])
def test_a_run_without_evaluation_says_what_is_missing(tmp_path, history):
    made = make_run(tmp_path, warm=False, history=history)
    result = call("report", tmp_path / "runs" / "train")
    assert result.exit_code == 0, result.output
    text = " ".join(Page(made.folder / "report.html").text.split())
    assert "how good this run is remains unknown" in text
    assert "uda evaluate runs/train reads the test part" in text
    assert ("50% (3 of 6; 3.9% to 96%) of Rust" in text) is history


def test_a_bare_folder_and_an_interrupted_run(tmp_path):
    result = call("report", tmp_path)
    assert result.exit_code == 3
    assert "no run here" in result.stderr
    (tmp_path / "config.yaml").write_text("method: uda\n")
    (tmp_path / "status.json").write_text(
        json.dumps({"state": "failed", "reason": "NaN loss", "step": 3, "steps": 9})
    )
    assert call("report", tmp_path).exit_code == 0
    text = Page(tmp_path / "report.html").text
    assert "The run is failed (NaN loss), at step 3 of 9" in text
    assert "The run has no split file" in text


def test_of_a_study_it_writes_the_verdict(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    result = call("report", tmp_path)
    assert result.exit_code == 3
    assert "verdict.json: missing; run `uda compare" in result.stderr
    (tmp_path / "verdict.json").write_text(json.dumps(facts()))
    out = tmp_path / "page.html"
    assert call("report", tmp_path, "--out", out).exit_code == 0
    assert "One &amp; two." in out.read_text()
    refused = call("report", tmp_path, "--no-thumbnails")
    assert refused.exit_code == 2
    assert "no effect on a study" in refused.stderr


@pytest.mark.parametrize("name", ["metrics.json", "thumbnails.json", "predictions.npz"])
def test_damaged_files_are_named(evaluated, tmp_path, name):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(evaluated, copy)
    (copy / "evaluation" / "test" / name).write_bytes(b'{"weights": ')
    result = call("report", copy)
    assert result.exit_code == 3
    assert name in result.stderr
    assert not (copy / "report.html").exists() or (
        (copy / "report.html").read_bytes() == (evaluated / "report.html").read_bytes()
    )


def test_a_page_that_cannot_be_written_is_told(evaluated, tmp_path):
    (tmp_path / "file").touch()
    result = call("report", evaluated, "--out", tmp_path / "file" / "page.html")
    assert result.exit_code == 3
    assert "--out" in result.stderr
