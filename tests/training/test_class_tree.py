"""Class trees in whole runs: both ways, with coarse labels, stopped and resumed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.support.surfaces import surface
from tests.test_tree import DEEP
from tests.training.conftest import QUICK
from tests.training.test_loop import StopAt, same, weights
from tests.training.test_objective import PLAIN, PRIOR
from uda.cli import main
from uda.data.sampling import LabeledSampler
from uda.data.splits import Split
from uda.errors import UsageError
from uda.objectives.hierarchy import conditionals, reach
from uda.run.bundle import load_bundle
from uda.training.class_tree import agreed_by_node, drawn_as, with_known
from uda.training.launch import resume
from uda.training.monitor.progress import Progress
from uda.training.state import load_newest
from uda.training.stop import StopRequest
from uda.training.teacher import agreed, known_targets

GOOD = {"model.good_class": "Good"}
APART = {**GOOD, "model.independent": True}
TREE_FILE = "Good:\nDefect:\n- Rust\n- Scratch\n"
# Six labelled of each class and more that are "Defect", after the split.
LABELS = np.array([0] * 12 + [1] * 24 + [2] * 12 + [3] * 6 + [4] * 6)


@pytest.fixture
def coarse(surfaces, tmp_path):
    """The tiny set with twelve images whose label is the node's name."""
    data = tmp_path / "data"
    shutil.copytree(surfaces / "data", data)
    (data / "Defect").mkdir()
    rng = np.random.default_rng(11)
    for number in range(12):
        image = surface(("Rust", "Scratch")[number % 2], rng)
        Image.fromarray(image).save(data / "Defect" / f"{number}.png")
    return data


def test_coarse_images_keep_the_priors_of_all_nodes():
    targets = np.concatenate([LABELS, [5] * 13, [6] * 8])  # Defect, Marks
    found = drawn_as(targets, DEEP)
    assert (found[:60] == LABELS).all()
    before, after = np.bincount(LABELS), np.bincount(found)
    assert after[1] == before[1]  # Good is below neither
    # Marks: Dent 12, Grind 12, Scratch 6. Defect: these and Rust 6.
    assert np.bincount(found[73:], minlength=5).tolist() == [3, 0, 3, 0, 2]
    assert np.bincount(found[60:73], minlength=5).tolist() == [5, 0, 4, 2, 2]
    assert drawn_as(targets, None) is targets
    for power in (0.0, 1.0):
        one, two = (
            LabeledSampler(labels, batch=8, seed=0, power=power).class_probs
            for labels in (LABELS, found)
        )
        marks = [0, 2, 4]
        assert two[marks] / two[marks].sum() == pytest.approx(
            one[marks] / one[marks].sum(), abs=0.03
        )


def test_two_opinions_agree_decision_by_decision():
    # Both: a defect. One says Rust, the other Scratch.
    one = torch.tensor([[0.01, 0.01, 0.01, 0.90, 0.07]], dtype=torch.float64).log()
    two = torch.tensor([[0.01, 0.01, 0.01, 0.07, 0.90]], dtype=torch.float64).log()
    found = agreed_by_node(one, two, 0.5, DEEP)
    root, defect, marks = (step.exp()[0] for step in conditionals(found, DEEP))
    torch.testing.assert_close(root[1], torch.tensor(0.99, dtype=torch.float64))
    torch.testing.assert_close(defect, torch.full((2,), 0.5, dtype=torch.float64))
    assert float(marks.max()) > 0.6  # they agree on Scratch among the marks
    # Opposed at the root, a uniform table would say "Defect" with 0.8.
    good = torch.tensor([[0.01, 0.96, 0.01, 0.01, 0.01]], dtype=torch.float64).log()
    found = agreed_by_node(one, good, 0.5, DEEP)
    assert float(conditionals(found, DEEP)[0].exp().max()) == pytest.approx(0.5)
    flat = agreed(one, good, 0.5)
    assert float(conditionals(flat, DEEP)[0].exp().max()) == pytest.approx(0.8)


def test_labels_overrule_the_table_as_far_as_they_go():
    table = torch.randn(7, 5, dtype=torch.float64).log_softmax(1)
    found = with_known(table, np.arange(7), DEEP)
    plain = known_targets(np.arange(5), 5)
    torch.testing.assert_close(found[:5].float(), plain)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(7, dtype=torch.float64))
    assert float(reach(found, DEEP)[5, 1]) > 0.99
    assert float(reach(found, DEEP)[6, 2]) > 0.99
    before, after = (t.exp()[6, [0, 2, 4]] for t in (table, found))
    torch.testing.assert_close(
        after, 0.99 * before / before.sum() + 0.002, atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("form", ["common", "quota"])
@pytest.mark.parametrize("changes", [GOOD, APART], ids=["joint", "independent"])
def test_stopped_and_resumed_equals_uninterrupted(quick, coarse, changes, form):
    changes = {
        **changes,
        "data.root": str(coarse),
        "supervised.tsa_form": form,
        "supervised.tsa_share": 1.0,
        "supervised.sampling_power": 1.0,
        "supervised.class_weights": "inverse",
        "loop.eval_every": 6,
    }
    whole, _ = quick(changes)
    folder, summary = quick(changes, stop=StopAt(4))
    assert summary.state == "interrupted"
    resume(folder, workers=2, console=Progress(), stop=StopRequest())
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(folder, name))
    one, two = (load_newest(f / "checkpoints")[0] for f in (whole, folder))
    assert same(one["objective_state"], two["objective_state"])
    bundle = load_bundle(folder)
    assert bundle.classes == ("Good", "Rust", "Scratch")
    leaf = bundle.model(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)).leaf
    torch.testing.assert_close(leaf.exp().sum(1), torch.ones(2))
    tags = {
        tag
        for line in (folder / "metrics.jsonl").read_text().splitlines()
        for tag in json.loads(line)
    }
    assert {"unlabeled/mask_rate/all", "unlabeled/mask_rate/Defect"} <= tags


def test_coarse_labels_train_and_never_test(quick, coarse):
    folder, _ = quick({**GOOD, "data.root": str(coarse), "method": "supervised"})
    split = Split.load(folder / "split.csv")
    parts = {row.part for row in split.rows if row.label == "Defect"}
    assert parts == {"labeled"}
    without, _ = quick({**GOOD, "method": "supervised"})
    assert not same(weights(folder, "raw"), weights(without, "raw"))


def test_a_depth_one_tree_trains_like_the_flat_head(quick, tmp_path):
    path = tmp_path / "flat.yaml"
    path.write_text("- Good\n- Rust\n- Scratch\n", encoding="utf-8")
    flat, _ = quick({"method": "supervised"})
    tree, _ = quick({"method": "supervised", "model.tree": str(path)})
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    one, two = (load_bundle(f).model(images).leaf.softmax(1) for f in (flat, tree))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"consistency.weak_pass": "joint", "consistency.entropy_weight": 0.1},
        {"consistency.weak_pass": "ema", "method": "fixmatch"},
        {"consistency.prior": PRIOR, "loop.precision": "bf16"},
        {"consistency.prior": PRIOR, "consistency.refinery": "darp"},
        {"consistency.debias": True, "consistency.texture_weight": 0.5},
        {**PLAIN, "supervised.logit_adjustment": "loss"},
        {**PLAIN, "supervised.logit_adjustment": "post-hoc"},
        {
            "supervised.sampling_power": 0.5,
            "supervised.logit_adjustment": "loss",
            "supervised.tsa_form": "prior",
            "supervised.tsa_exempt_below": 9,
        },
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_combines_trains_to_the_end(quick, coarse, changes):
    changes = {**GOOD, "data.root": str(coarse), **changes}
    folder, summary = quick(changes)
    assert summary.state == "done"
    model = load_bundle(folder).model
    assert bool(torch.isfinite(model(torch.zeros(2, 1, 16, 16).byte()).leaf).all())


def test_the_run_keeps_its_tree(quick, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(TREE_FILE, encoding="utf-8")
    folder, _ = quick({"model.tree": str(path)}, stop=StopAt(3))
    path.unlink()
    assert (folder / "tree.yaml").read_text() == TREE_FILE
    ended = resume(folder, workers=None, console=Progress(), stop=StopRequest())
    assert ended.state == "done"


def test_a_wrong_tree_is_refused_before_a_run_begins(quick, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("Good:\nDefect:\n- Rust\n- Kratzer\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.yaml, line 4: .*'Kratzer'"):
        quick({"model.tree": str(path)})
    assert not (tmp_path / "runs").exists()


def call(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("way", ["--joint-trunk", "--independent"])
def test_from_the_split_to_answers_on_the_command_line(
    coarse, surfaces, tmp_path, monkeypatch, way
):
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))
    monkeypatch.chdir(tmp_path)
    tree = tmp_path / "tree.yaml"
    tree.write_text(TREE_FILE, encoding="utf-8")
    more = ["--unlabeled", surfaces / "more"]
    split = call("split", coarse, *more, "--tree", tree, "--group", "none")
    assert "12 images have a label of several classes (Defect)" in split.stderr
    assert f"--tree {tree}" in split.stdout
    plain = {k: v for k, v in QUICK.items() if k.startswith(("loop.", "cons"))}
    settings = [f"--set={key}={value}" for key, value in plain.items()]
    words = ["--imgsz", 16, *more, "-q"]
    call(
        "train", coarse, "--split", "split.csv", "--tree", tree, way, *words, *settings
    )
    shown = call("evaluate", "runs/latest", "--good-class", "Good").stdout
    start = shown.index("decision at a node")
    table = shown[start:].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table[1:]] == [
        "(all)", "Good", "Defect", "Defect", "Rust", "Scratch",
    ]  # fmt: skip
    file = tmp_path / "runs/latest/evaluation/test/metrics.json"
    nodes = json.loads(file.read_text())["weights"]["ema"]["nodes"]
    assert [node["name"] for node in nodes] == ["(all)", "Defect"]
    assert nodes[0]["classes"] == [["Good"], ["Rust", "Scratch"]]
    call("predict", "runs/latest", surfaces / "more", "--out", "answers.csv")
    header = (tmp_path / "answers.csv").read_text().splitlines()[0]
    assert "prob:Scratch" in header
    assert "Defect" not in header
