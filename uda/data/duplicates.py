"""Images that show the same thing: copies, other exposures, shifted or turned crops.

Exact by content hash; the rest proposed by likeness and proved by correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from uda.data.calibration import Calibration, calibrate
from uda.data.correlation import TURN_NAMES, Scores, score_pairs
from uda.data.detail import (
    Frames,
    Int64,
    UInt8,
    normalised,
    quantised,
    resized,
    to_size,
    without_common,
    working_scale,
)
from uda.data.images import BadImage, probe, read_image
from uda.data.matching import (
    Keypoints,
    Proposals,
    find_keypoints,
    propose_shifted,
    propose_whole,
)
from uda.data.partition import connect
from uda.data.preprocessing import detect_value_range, evenly
from uda.data.records import Catalog, Record
from uda.files import sha256_file

Progress = Callable[[str, int, int], None]

RELATIONS = ("exact", "near", "exposure", "shifted", "turned")

_SQUARE = 96
_THUMBNAIL = 24
_THUMBNAIL_WINDOW = 3.0
# Fewer spots each where there are many images: memory stays below 0.5 GB at 10,000.
_SPOTS, _SPOTS_MANY, _MANY = 80, 48, 4000
_SCALE_SAMPLE = 500
# A crop is called shifted when it shares less than this with its partner.
_SAME_FRAME = 0.9
# Grey levels, and ratio of contrasts, beyond which an exposure is called another.
_OTHER_BRIGHTNESS = 8.0
_OTHER_CONTRAST = 1.15
_AT_ONCE = 2000


@dataclass(frozen=True)
class Pair:
    """Two images that were found to show the same thing.

    Attributes:
        first, second: positions in ``Groups.paths``, first < second.
        relation: one of RELATIONS.
        score: median correlation of the detail in the shared area, 1 for exact.
        overlap: shared share of the smaller image.
        turn: which of the 8 turns lays the first on the second (see correlation).
        shift: y, x shift of the centre as a share of the working frame's pixels.
    """

    first: int
    second: int
    relation: str
    score: float
    overlap: float = 1.0
    turn: int = 0
    shift: tuple[float, float] = (0.0, 0.0)

    def describe(self) -> str:
        """Say the relation in words."""
        if self.relation == "exact":
            return "the same file content"
        words = {
            "near": "near duplicate",
            "exposure": "same view, other exposure",
            "shifted": f"shifted crop, {self.overlap:.0%} shared",
            "turned": TURN_NAMES[self.turn],
        }[self.relation]
        return f"{words} (correlation {self.score:.2f})"


@dataclass(frozen=True)
class Groups:
    """Which images belong together.

    Attributes:
        paths: (N) paths in the order of the records.
        ids: (N,) group number of each image, numbered by first appearance.
        pairs: the pairs that were proved, each once, by falling score.
        hashes: (N) SHA-256 of each file or array; "" where it could not be read.
        skipped: (path, reason) of images that could not be read.
        calibrations: how unrelated images of this set correlate, as "crops" at their
            common scale and as "whole" images.
        common_components: components of common structure taken away; 0 = none.
    """

    paths: tuple[str, ...]
    ids: Int64
    pairs: tuple[Pair, ...] = ()
    hashes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    common_components: int = 0

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """Group name by path; an image without kin has a group of its own."""
        width = max(4, len(str(len(self.paths))))
        names = (f"g{number + 1:0{width}d}" for number in self.ids)
        return dict(zip(self.paths, names, strict=True))

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Positions of each group's images, by group number."""
        found: list[list[int]] = [[] for _ in range(int(self.ids.max(initial=-1)) + 1)]
        for position, number in enumerate(self.ids):
            found[number].append(position)
        return tuple(tuple(group) for group in found)

    def sizes(self) -> Int64:
        """(G,) images per group."""
        return np.bincount(self.ids).astype(np.int64)


def find_groups(
    source: Catalog | Sequence[Record],
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Groups:
    """Find the images of a data set that show the same thing.

    Decodes every image once, 16-bit ones twice. Time grows about linearly with the
    number of images up to some ten thousand; beyond, comparing whole images all with
    all decides, which grows with the square. Memory is about 30 KB per image.
    Unreadable images stay alone and are listed.

    Args:
        source: a catalog, or records.
        seed: of the random projections and of the calibration sample.
        threads: that decode images.
        progress: called with (stage, done, total).

    Returns:
        The groups; ``groups.groups`` maps path to group name.
    """
    records = source.records if isinstance(source, Catalog) else tuple(source)
    report = progress or _silent
    files = [record.file for record in records]
    value_range = detect_value_range(files)
    scale = working_scale(_sides(records))

    def look(record: Record) -> _Look:
        try:
            digest = sha256_file(record.file)
            image = read_image(record.file, channels=1, value_range=value_range)
        except (BadImage, OSError) as error:
            reason = error.reason if isinstance(error, BadImage) else str(error)
            return _Look(reason=reason)
        return _Look.of(image[:, :, 0], digest, scale)

    looks = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for look_done in pool.map(look, records):
            looks.append(look_done)
            report("reading images", len(looks), len(records))
    return _group([r.path for r in records], looks, seed=seed, report=report)


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


def _sides(records: Sequence[Record]) -> list[int]:
    sides = []
    for i in evenly(len(records), _SCALE_SAMPLE):
        try:
            info = probe(records[i].file)
        except (BadImage, OSError):
            continue
        sides.append(max(info.width, info.height))
    return sides or [1]


@dataclass(frozen=True)
class _Look:
    """What is kept of one image: about 25 KB."""

    digest: str = ""
    scaled: UInt8 = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    brightness: float = 0.0
    contrast: float = 0.0
    reason: str = ""

    @classmethod
    def of(cls, grey: UInt8, digest: str, scale: float) -> _Look:
        scaled = resized(grey, scale)
        return cls(digest, scaled, float(scaled.mean()), float(scaled.std()))


@dataclass(frozen=True)
class _Evidence:
    """Proposals, all of one frame kind, with what correlation says about them."""

    proposals: Proposals
    scores: Scores
    proved: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _group(
    paths: Sequence[str], looks: Sequence[_Look], *, seed: int, report: Progress
) -> Groups:
    """Find exact copies, then compare one image of each content."""
    first_of: dict[str, int] = {}
    pairs: list[Pair] = []
    for position, look in enumerate(looks):
        if look.reason:
            continue
        original = first_of.setdefault(look.digest, position)
        if original != position:
            pairs.append(Pair(original, position, "exact", 1.0))
    chosen = np.array(sorted(first_of.values()), np.int64)
    calibrations: dict[str, Calibration] = {}
    components = 0
    if len(chosen) > 1:
        distinct = [looks[i] for i in chosen]
        found, calibrations, components = _compare(distinct, seed=seed, report=report)
        pairs += _as_pairs(found, distinct, chosen)
    pairs.sort(key=lambda pair: (-pair.score, pair.first, pair.second))
    return Groups(
        tuple(paths),
        _connected(len(paths), pairs),
        tuple(pairs),
        tuple(look.digest for look in looks),
        tuple((p, k.reason) for p, k in zip(paths, looks, strict=True) if k.reason),
        calibrations,
        components,
    )


def _compare(
    looks: Sequence[_Look], *, seed: int, report: Progress
) -> tuple[list[_Evidence], dict[str, Calibration], int]:
    """Propose and prove, in the common scale and again squashed to a square."""
    total = len(looks)
    report("describing images", 0, total)
    frames = Frames.of([quantised(normalised(look.scaled)) for look in looks])
    frames, components = without_common(frames, seed=seed)
    most = _SPOTS if total <= _MANY else _SPOTS_MANY
    spots: list[Keypoints] = []
    for i in range(total):
        spots.append(find_keypoints(frames[i], most=most))
        report("describing images", i + 1, total)
    shifted = propose_shifted(spots, seed=seed)
    del spots
    squares, whole = _whole(looks, frames, seed=seed)
    calibrations, evidence = {}, []
    views = {"crops": (frames, shifted), "whole": (squares, whole)}
    for name, (kind, proposals) in views.items():
        calibrations[name] = calibrate(kind, proposals, seed=seed)
        scores = _scored(kind, proposals, report)
        proved = scores.score >= calibrations[name].threshold(scores.blocks)
        evidence.append(_Evidence(proposals, scores, proved))
    return evidence, calibrations, components


def _whole(
    looks: Sequence[_Look], frames: Frames, *, seed: int
) -> tuple[Frames, Proposals]:
    thumbnails = np.stack(
        [
            normalised(
                to_size(look.scaled, (_THUMBNAIL, _THUMBNAIL)), _THUMBNAIL_WINDOW
            )
            for look in looks
        ]
    )
    height, width = frames.shapes[0]
    if height == width and (frames.shapes == height).all():
        return frames, propose_whole(thumbnails)
    square = (_SQUARE, _SQUARE)
    images = [quantised(normalised(to_size(look.scaled, square))) for look in looks]
    squares, _ = without_common(Frames.of(images), seed=seed)
    return squares, propose_whole(thumbnails)


def _scored(frames: Frames, proposals: Proposals, report: Progress) -> Scores:
    total = len(proposals.first)
    parts: list[Scores] = []
    for start in range(0, max(total, 1), _AT_ONCE):
        part = proposals.take(np.arange(start, min(start + _AT_ONCE, total)))
        pair = (part.first, part.second)
        parts.append(score_pairs(frames, pair, turns=part.turn, shifts=part.shift))
        report("comparing pairs", min(start + _AT_ONCE, total), total)
    return Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _as_pairs(
    found: Sequence[_Evidence], looks: Sequence[_Look], chosen: Int64
) -> list[Pair]:
    """Turn proved proposals into pairs; of several for one pair the best."""
    best: dict[tuple[int, int], Pair] = {}
    for first, second, pair in _proved(found):
        relation = _relation(pair, looks[first], looks[second])
        kept = best.get((first, second))
        if kept is None or pair.score > kept.score:
            best[first, second] = Pair(
                int(chosen[first]),
                int(chosen[second]),
                relation,
                pair.score,
                pair.overlap,
                pair.turn,
                pair.shift,
            )
    return list(best.values())


def _proved(found: Sequence[_Evidence]) -> Iterator[tuple[int, int, Pair]]:
    for evidence in found:
        proposals, scores = evidence.proposals, evidence.scores
        for n in np.flatnonzero(evidence.proved):
            first, second = int(proposals.first[n]), int(proposals.second[n])
            shift = (float(scores.shift[n, 0]), float(scores.shift[n, 1]))
            yield (
                first,
                second,
                Pair(
                    first,
                    second,
                    "near",
                    round(float(scores.score[n]), 4),
                    round(float(scores.overlap[n]), 4),
                    int(proposals.turn[n]),
                    shift,
                ),
            )


def _relation(pair: Pair, one: _Look, two: _Look) -> str:
    if pair.turn:
        return "turned"
    if pair.overlap < _SAME_FRAME:
        return "shifted"
    low, high = sorted((one.contrast + 1, two.contrast + 1))
    other = abs(one.brightness - two.brightness) > _OTHER_BRIGHTNESS
    return "exposure" if other or high / low > _OTHER_CONTRAST else "near"


def _connected(count: int, pairs: Sequence[Pair]) -> Int64:
    """(count,) component numbers in the order of first appearance."""
    shared: list[list[int]] = [[] for _ in range(count)]
    for number, pair in enumerate(pairs):
        shared[pair.first].append(number)
        shared[pair.second].append(number)
    return connect(shared)
