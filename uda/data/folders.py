"""Find image files below a folder and read what the folders' names say of them.

Links are not followed away; what is left out is reported, never dropped in silence.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uda.data.images import SUFFIXES
from uda.data.manifest import PART_WORDS, check_label, check_name
from uda.data.table import listing, shown
from uda.errors import DataError
from uda.files import OUTPUT_MARK

# Files that lie beside images for good reasons; hidden files are left out as well.
_SIDECARS = frozenset((".csv", ".tsv", ".json", ".txt", ".md", ".xml", ".yaml", ".yml"))
_SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini"))
_SYSTEM_FOLDERS = frozenset(("__macosx", "__pycache__"))
_MASKS = "ground_truth/"  # beside the parts of an MVTec-like folder


@dataclass
class Found:
    """What lies below a folder: paths relative to it, with forward slashes.

    Attributes:
        root: the folder.
        images: regular files with an image suffix, sorted.
        others: files that are no images by their suffix and no known companions.
        links: links that lead outside, nowhere or to a folder: not followed.
        closed: folders that cannot be read.
        outputs: folders of results, by ``uda train`` and others; not looked into.
        empty: folders directly below the root without any image.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Say in words what was left out."""
        said = (
            (self.others, "files are not images by their suffix and were left out"),
            (self.links, "links lead to a folder, outside or nowhere; not followed"),
            (self.closed, "folders cannot be read; change their permissions"),
            (
                self.outputs,
                f"folders hold results of uda ({OUTPUT_MARK}) and were left out",
            ),
        )
        return [
            f"{shown(self.root)}: {len(names)} {words}: {listing(sorted(names), 5)}"
            for names, words in said
            if names
        ]


def find_images(
    root: Path, *, skip: Collection[Path] = (), follow: bool = False
) -> Found:
    """Look for images at any depth.

    Args:
        root: the folder; itself it may be a link.
        skip: resolved folders to leave out, for example other data.
        follow: take links to files wherever they lead, also nowhere.

    Returns:
        What was found. Hidden files and folders are left out, and so are folders of
        results; a link to a file is an image when the file lies in the root, a link to
        a folder is never followed.

    Raises:
        DataError: when the root is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{shown(root)}: there is no such folder; check the path")
    found = Found(root)
    home = os.path.realpath(root)
    left_out = {os.fspath(folder) for folder in skip}
    tops: list[str] = []

    def closed(error: OSError) -> None:
        found.closed.append(os.path.relpath(error.filename, home))

    for folder, names, files in os.walk(home, onerror=closed):
        relative = "" if folder == home else os.path.relpath(folder, home) + "/"
        names[:] = [n for n in sorted(names) if _enter(found, folder, relative, n)]
        names[:] = [n for n in names if os.path.join(folder, n) not in left_out]  # noqa: PTH118
        tops = tops or ([] if relative else list(names))
        for name in files:
            _sort_in(found, home, relative, name, follow=follow)
    found.images.sort()
    filled = {path.split("/", 1)[0] for path in (*found.images, *found.outputs)}
    found.empty = [name for name in tops if name not in filled]
    return found


def _enter(found: Found, folder: str, relative: str, name: str) -> bool:
    if name.startswith(".") or name.lower() in _SYSTEM_FOLDERS:
        return False
    if os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118
        found.links.append(relative + name)
        return False
    if os.path.isfile(os.path.join(folder, name, OUTPUT_MARK)):  # noqa: PTH113, PTH118
        found.outputs.append(relative + name)
        return False
    return True


def _sort_in(
    found: Found, home: str, relative: str, name: str, *, follow: bool
) -> None:
    """Put one file on the list where it belongs."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if name.startswith(".") or suffix in _SIDECARS or name.lower() in _SYSTEM_FILES:
        return
    path = os.path.join(home, relative + name)  # noqa: PTH118
    if suffix not in SUFFIXES:
        found.others.append(relative + name)
    elif follow and os.path.islink(path) and not os.path.isdir(path):  # noqa: PTH112, PTH114
        found.images.append(relative + name)
    elif os.path.islink(path) and not _stays(home, path):  # noqa: PTH114
        found.links.append(relative + name)
    elif not os.path.isfile(path):  # noqa: PTH113
        found.others.append(relative + name)
    else:
        found.images.append(relative + name)


def _stays(home: str, link: str) -> bool:
    target = os.path.realpath(link)
    return os.path.isfile(target) and os.path.commonpath((home, target)) == home  # noqa: PTH113


# Path, label, part: the last two are None where the folders do not say.
Named = tuple[str, str | None, str | None]


@dataclass
class Layout:
    """What the folders' names say: a name for the layout, the images, notes."""

    name: str
    images: list[Named]
    notes: list[str]


def read_layout(found: Found) -> Layout:
    """Read class folders, parts, or an MVTec-like folder (see ``records.scan``).

    Raises:
        DataError: for a class name that joins labels or is not UTF-8.
    """
    tops = {path.split("/", 1)[0] for path in found.images if "/" in path}
    parts = {top: PART_WORDS[top.lower()] for top in tops if top.lower() in PART_WORDS}
    ready = {top for top, part in parts.items() if part != "unlabeled"}
    nested = any(
        path.count("/") >= 2 and path.split("/", 1)[0] in ready for path in found.images
    )
    # `train` beside `bus` with images right inside is a class, not a part
    if ready and (nested or not tops - set(parts)):
        layout = _parts(found, parts)
    else:
        layout = _classes(found, set(parts) - ready)
    if found.empty:
        layout.notes.append(f"folders without images: {listing(found.empty, 5)}")
    layout.notes.extend(found.notes())
    return layout


def _classes(found: Found, unlabeled: Collection[str]) -> Layout:
    layout = Layout("class folders", [], [])
    astray = []
    for path in found.images:
        top, _, rest = path.partition("/")
        if not rest:
            astray.append(path)
        elif top in unlabeled:
            layout.images.append((path, None, "unlabeled"))
        else:
            layout.images.append((path, _class_name(found, top), None))
    _note_astray(layout, astray)
    return layout


def _parts(found: Found, parts: Mapping[str, str]) -> Layout:
    layout = Layout("parts", [], [])
    astray = []
    for path in found.images:
        named = _in_parts(found, parts, path)
        if named is not None:
            layout.images.append(named)
        elif not path.startswith(_MASKS):
            astray.append(path)
    if "train" not in parts.values():
        tops = {
            path.split("/", 1)[0] for path, _, part in layout.images if part == "train"
        }
        layout.notes += [
            f"there is no folder train/: {listing(sorted(tops))} are read as the "
            "classes of training"
        ] * bool(tops)
    _note_astray(layout, astray)
    return _mvtec(layout) or layout


def _in_parts(found: Found, parts: Mapping[str, str], path: str) -> Named | None:
    """Return what the folders say of an image, None where they say nothing."""
    top, *below = path.split("/")
    part = parts.get(top)
    if part == "unlabeled":
        return path, None, part
    if part is None and below and "train" not in parts.values():
        # Classes beside test/: whoever puts a test aside means the rest for training.
        return (
            None
            if path.startswith(_MASKS)
            else (path, _class_name(found, top), "train")
        )
    if part is None or len(below) < 2:
        return None
    if PART_WORDS.get(below[0].lower()) == "unlabeled":
        return path, None, "unlabeled" if part == "train" else part
    return path, _class_name(found, below[0]), part


def _mvtec(layout: Layout) -> Layout | None:
    """Return the layout without parts when only good images are for training."""
    classes: dict[str | None, set[str]] = {}
    for _, label, part in layout.images:
        if label is not None:
            classes.setdefault(part, set()).add(label)
    good = {"good"}
    if classes.get("train") != good or not classes.get("test", good) - good:
        return None
    note = (
        "training holds the class 'good' alone, on which no classifier can be trained: "
        "its images and those of test/ are divided anew"
    )
    images: list[Named] = [
        (path, label, part if part == "unlabeled" else None)
        for path, label, part in layout.images
    ]
    return Layout("mvtec", images, [*layout.notes, note])


def _class_name(found: Found, name: str) -> str:
    where = f"{shown(found.root)}, class folder {shown(name)}"
    check_name(name, where)
    check_label(name, where)
    return name


def _note_astray(layout: Layout, astray: Sequence[str]) -> None:
    if astray:
        layout.notes.append(
            f"{len(astray)} images lie outside of a class folder and were left out: "
            f"{listing(astray, 5)}; move them, or give their folder by --unlabeled"
        )
