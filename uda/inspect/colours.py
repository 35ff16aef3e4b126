"""Names of dominant colours, and the classes that colour tells apart.

Colours are red, green, blue in this order, as everywhere in this package.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

from uda.inspect.pixels import Color

# Below this saturation or value a hue is noise of the sensor, not a colour.
_MIN_SATURATION, _MIN_VALUE = 0.2, 0.12
# A colour has to fill this share of a class, and no more than that of the other.
_OWN_SHARE, _OTHER_SHARE = 0.10, 0.02
_SAME_HUE = 40.0
_HUES = (
    (15, "red"), (45, "orange"), (68, "yellow"), (165, "green"), (200, "cyan"),
    (260, "blue"), (295, "violet"), (340, "magenta"), (360, "red"),
)  # fmt: skip
_GREYS = ((0.12, "black"), (0.4, "dark grey"), (0.7, "grey"), (0.92, "light grey"))


def hue_of(color: Color) -> float | None:
    """Return the hue in degrees, 0 = red, 120 = green; None for a grey."""
    hue, saturation, value = _hsv(color)
    if saturation < _MIN_SATURATION or value < _MIN_VALUE:
        return None
    return 360 * hue


def name_of(color: Color) -> str:
    """Return a plain name such as ``dark grey``, ``brown`` or ``light blue``."""
    hue, (_, saturation, value) = hue_of(color), _hsv(color)
    if hue is None:
        return next((name for top, name in _GREYS if value < top), "white")
    name = next(name for top, name in _HUES if hue <= top)
    if name == "orange" and value < 0.75:
        return "brown"
    if value < 0.4:
        return f"dark {name}"
    return f"light {name}" if value > 0.8 and saturation < 0.5 else name


def told_by_hue(
    colors: Mapping[str, Sequence[Color]],
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Find classes with a colour that other classes lack.

    Args:
        colors: class -> its dominant colours.

    Returns:
        (class, name of the colour, the classes without it). A colour counts when it
        fills a tenth of the class, and no colour within 40 degrees of hue a fiftieth
        of the other.
    """
    found = []
    for name, own in colors.items():
        for color in own:
            hue = hue_of(color)
            if hue is None or color.share < _OWN_SHARE:
                continue
            without = tuple(
                other
                for other, theirs in colors.items()
                if other != name and not _has(theirs, hue)
            )
            if without:
                found.append((name, name_of(color), without))
    return found


def _has(colors: Sequence[Color], hue: float) -> bool:
    hues = [hue_of(c) for c in colors if c.share >= _OTHER_SHARE]
    return any(
        h is not None and min(abs(h - hue), 360 - abs(h - hue)) <= _SAME_HUE
        for h in hues
    )


def _hsv(color: Color) -> tuple[float, float, float]:
    return colorsys.rgb_to_hsv(color.red / 255, color.green / 255, color.blue / 255)
