"""The embedded demo set: photos of machined metal with three kinds of defect.

Drawn with numpy from a seed, so that nothing has to be downloaded.
"""

from __future__ import annotations

from pathlib import Path


def write_demo(
    folder: Path, *, seed: int = 0, unlabeled: int = 600, size: int = 96
) -> Path:
    """Write the demo set and return its folder.

    Args:
        folder: a folder that is empty or does not exist yet.
        seed: same seed, same bytes.
        unlabeled: number of unlabelled images.
        size: side of an image in pixels.

    Raises:
        DataError: when the folder holds anything already.
    """
    raise NotImplementedError
