"""The house's rules, held by reading the source: direction, cycles, size, tests.

Nothing is imported here: `ast` sees imports under TYPE_CHECKING and inside
functions as well, and they count like all others.
"""

from __future__ import annotations

import ast
import graphlib
import io
import tokenize
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "uda"
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# Who may import whom. Rooms of one line do not know each other.
BASE = {"cores", "errors", "rng", "files", "intervals", "tree", "words"}
PARTS = {"augment", "data", "models", "objectives"}
LATE = {"inspect", "study", "offline", "reporting", "export"}
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(BASE, BASE),
    "augment": BASE,
    "data": BASE | {"augment"},
    "models": BASE,
    "objectives": BASE,
    "run": BASE | PARTS,
    "evaluation": BASE | PARTS | {"run"},
    "training": BASE | PARTS | {"run", "evaluation"},
    **dict.fromkeys(LATE, BASE | PARTS | {"run", "evaluation", "training"}),
    "cli": BASE | PARTS | {"run", "evaluation", "training"} | LATE,
    "__main__": {"cli"},
    "api": BASE | PARTS | {"run", "evaluation", "training", "cli"} | LATE,
}

# A file whose behaviour shows only in whole runs is tested by a neighbour, which
# has to import it or run its command.
TESTED_BY = {
    "errors.py": "test_cli.py",
    "words.py": "augment/test_policy.py",
    "cli/notes.py": "cli/test_predict.py",
    "cli/options.py": "test_cli.py",
    "cli/resume.py": "faults/test_kill.py",
    "cli/train_flags.py": "test_cli.py",
    "cli/tune_source.py": "cli/test_tune.py",
    "cli/train.py": "faults/test_bad_input.py",
    "augment/accelerated_ops.py": "augment/test_accelerated.py",
    "augment/compiled_filters.py": "augment/test_compiled.py",
    "augment/compiled_geometry.py": "augment/test_compiled.py",
    "augment/compiled_levels.py": "augment/test_compiled.py",
    "augment/compiled_random.py": "augment/test_compiled.py",
    "augment/specs.py": "augment/test_policy.py",
    # One contract for all libraries.
    "augment/adapters/albumentations.py": "augment/adapters/test_libraries.py",
    "augment/adapters/imgaug.py": "augment/adapters/test_libraries.py",
    "augment/adapters/kornia.py": "augment/adapters/test_libraries.py",
    "augment/adapters/randaugment.py": "augment/adapters/test_libraries.py",
    "augment/adapters/torchvision.py": "augment/adapters/test_libraries.py",
    "data/groups.py": "data/test_splits.py",
    "inspect/facts.py": "inspect/test_advice.py",
    "training/dealing.py": "training/test_folds.py",
    "training/plan.py": "training/test_folds.py",
    # Reached by the command and by whole studies.
    "study/afterwards.py": "study/test_run.py",
    "study/finish.py": "cli/test_compare.py",
    "training/launch.py": "training/test_loop.py",
    "offline/boxcopies.py": "offline/test_detection.py",
    "offline/boxreport.py": "offline/test_detection.py",
    "offline/boxrequest.py": "offline/test_detection.py",
    "offline/boxsheet.py": "offline/test_detection.py",
    # Reached through training.launch by the runs of that test.
    "training/build.py": "training/test_loop.py",
    "training/evaluate.py": "training/test_loop.py",
    "training/length.py": "training/test_loop.py",
    "training/prepare.py": "training/test_loop.py",
    "training/save.py": "training/test_loop.py",
    "training/served.py": "training/test_objective.py",
    "training/clock.py": "training/test_objective.py",
    "training/prior.py": "training/test_objective.py",
    "training/second_head.py": "training/test_objective.py",
    "training/config.py": "training/test_configure.py",
    "training/presets.py": "training/test_configure.py",
    "training/texture.py": "training/test_loop.py",
    "training/trainer.py": "training/test_loop.py",
}


def name_of(path: Path) -> str:
    """`uda/data/pool.py` -> `uda.data.pool`."""
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path), str(path))


MODULES = {name_of(path): path for path in FILES}


@cache
def imports_of(path: Path) -> frozenset[str]:
    """The modules of this package that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
    return frozenset(name for name in found if name in MODULES)


def room(name: str) -> str:
    """`uda.data.pool` -> `data`; the package itself -> nothing."""
    return [*name.split("."), ""][1]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@cache
def code_lines(path: Path) -> frozenset[int]:
    """Numbers of the lines that hold more than blanks and comments."""
    empty = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT,
        tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
        if token.type not in empty:
            lines.update(range(token.start[0], token.end[0] + 1))
    return frozenset(lines)


def function_length(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Code lines from `def` to the end, without the docstring."""
    lines = set(range(node.lineno, (node.end_lineno or 0) + 1))
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        lines -= set(range(first.lineno, (first.end_lineno or 0) + 1))
    return len(lines & code_lines(path))


def test_every_room_has_its_place():
    rooms = {room(name) for name in MODULES} - {""}
    assert rooms <= set(MAY_IMPORT), "give the new room a line in MAY_IMPORT"


def test_imports_point_down():
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in sorted(imports_of(path))
        if room(other) not in {"", room(name)}
        and room(other) not in MAY_IMPORT[room(name)]
    ]
    assert wrong == []


def test_no_import_cycles():
    graph = {name: imports_of(path) for name, path in MODULES.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_direction_test_sees_hidden_imports():
    path = SOURCE / "cli" / "evaluate.py"  # imports inside functions and for types
    assert "uda.evaluation.evaluate" in imports_of(path)
    assert "uda.run.layout" in imports_of(path)


def test_only_the_command_line_knows_click():
    knowing = [
        str(path.relative_to(PROJECT))
        for path in FILES
        if any(
            (isinstance(node, ast.Import) and node.names[0].name == "click")
            or (isinstance(node, ast.ImportFrom) and node.module == "click")
            for node in ast.walk(tree_of(path))
        )
    ]
    assert [name for name in knowing if not name.startswith("uda/cli/")] == []


def test_every_file_has_its_test():
    missing = []
    for path in FILES:
        place = path.relative_to(SOURCE)
        if path.name in {"__init__.py", "__main__.py"}:
            continue
        test = PROJECT / "tests" / place.parent / f"test_{path.name}"
        neighbour = TESTED_BY.get(place.as_posix())
        if not test.is_file() and neighbour is None:
            missing.append(f"{place}: no tests/{place.parent}/test_{path.name}")
        elif neighbour is not None:
            assert not test.is_file(), f"{place} has its own test: cut TESTED_BY"
            assert (PROJECT / "tests" / neighbour).is_file()
    assert missing == []


def test_no_entry_for_a_file_that_is_gone():
    assert [name for name in TESTED_BY if not (SOURCE / name).is_file()] == []


def test_files_fit_a_reader():
    long = {
        name: lines
        for name, path in MODULES.items()
        if (lines := len(text_of(path).splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_functions_fit_a_page():
    long = {
        f"{name}.{node.name}": lines
        for name, path in MODULES.items()
        for node in functions(path)
        if (lines := function_length(path, node)) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_every_file_says_what_it_is_for():
    silent = [
        name for name, path in MODULES.items() if not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


def test_no_bare_except():
    bare = [
        f"{name}:{node.lineno}"
        for name, path in MODULES.items()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def dotted(node: ast.expr) -> str:
    """`np.random.seed` of an attribute chain, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


# What makes or names a generator of its own is no global state.
OWN = {"default_rng", "Generator", "Philox", "SeedSequence", "PCG64", "fork_rng"}
TORCH_DRAWS = {
    "rand", "randn", "randint", "randperm", "bernoulli", "multinomial", "normal",
    "rand_like", "randn_like", "randint_like", "poisson", "manual_seed", "seed",
}  # fmt: skip
# Here the global generators are borrowed, seeded by uda.rng, and given back.
BORROWS = {"uda.augment.plugins", "uda.models.seeding"}


def draws_globally(call: ast.Call) -> bool:
    """Tell whether a call uses a global random generator."""
    name = dotted(call.func)
    head, _, last = name.rpartition(".")
    if head in {"np.random", "numpy.random", "random", "torch.random"}:
        return last not in OWN
    if name.startswith("torch.") and last in TORCH_DRAWS:
        return "generator" not in {keyword.arg for keyword in call.keywords}
    return False


def imports_random(path: Path) -> bool:
    """`random` is the standard module only where the file imports it."""
    return any(
        isinstance(node, ast.Import) and "random" in {a.name for a in node.names}
        for node in ast.walk(tree_of(path))
    )


def test_no_global_random_numbers():
    calls = [
        f"{name}:{node.lineno}: {dotted(node.func)}"
        for name, path in MODULES.items()
        if name not in BORROWS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and draws_globally(node)
        if not dotted(node.func).startswith("random.") or imports_random(path)
    ]
    assert calls == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("np.random.seed(3)", True),
        ("torch.randn(3)", True),
        ("torch.default_generator.manual_seed(1)", True),
        ("torch.randn(3, generator=g)", False),
        ("np.random.default_rng(3)", False),
        ("rng.integers(3)", False),
    ],
)
def test_the_random_test_sees_what_it_should(source, found):
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    assert draws_globally(call) is found
