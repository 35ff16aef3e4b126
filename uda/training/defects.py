"""Before a run: a word where the image size loses the defects whose boxes are known."""

from __future__ import annotations

from pathlib import Path

from uda.data.defects import defect_sizes, load, losses
from uda.training.config import RunConfig
from uda.training.monitor.progress import Progress


def warn_of_small_defects(config: RunConfig, console: Progress) -> None:
    """Warn for every size of the run at which defects fall under 8 pixels.

    Raises:
        DataError: the boxes cannot be read.
    """
    data = config.data
    if data.boxes is None:
        return
    rows, columns = data.tiles or (1, 1)
    sizes = [(height, width) for height, width, _ in data.sizes] or [data.size]
    whole = [(height * rows, width * columns) for height, width in sizes]
    boxes = load(Path(data.boxes), Path(data.root))
    for text in losses(defect_sizes(boxes, whole, mode=data.resize)):
        console.warn(text)
