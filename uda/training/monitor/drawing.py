"""Text on pictures: Pillow's own scalable font, so no font file is needed.

Used by the confusion matrix and the grids of views.
"""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

INK = (20, 20, 20)
PAPER = (255, 255, 255)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """Return Pillow's default font in a size in pixels."""
    return ImageFont.load_default(size)


def text_width(text: str, face: Font) -> int:
    """Return the width of one line of text, in pixels."""
    return int(face.getlength(text)) + 1


def shorten(text: str, face: Font, width: int) -> str:
    """Cut a text so that it fits ``width`` pixels, with an ellipsis."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\n", " ")
    if text_width(text, face) <= width:
        return text
    while text and text_width(text + "…", face) > width:
        text = text[:-1]
    return text + "…"
