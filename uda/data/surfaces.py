"""Drawings of machined metal: grain, light, harmless marks and three defects.

A part is drawn once, slightly larger than a photo; each photo of it has its own
place, light and noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Rng = np.random.Generator

MARGIN = 4  # pixels that a part may lie off centre in a photo

_RUST = np.array([0.43, 0.27, 0.15])


def draw_part(rng: Rng, label: str, size: int) -> Float:
    """Draw the surface of one part.

    Args:
        rng: generator of this part alone.
        label: a key of ``DEFECTS``.
        size: side of a photo in pixels.

    Returns:
        (S, S, 3) reflectance around 0.5, S = size + 2 * MARGIN.
    """
    canvas = _Canvas(rng, size + 2 * MARGIN)
    canvas.machine()
    canvas.soil()
    DEFECTS[label](canvas)
    return canvas.reflectance


def photograph(rng: Rng, reflectance: Float, size: int) -> npt.NDArray[np.uint8]:
    """Take a photo: place, exposure, side light, white balance, sensor noise.

    Returns:
        (size, size, 3) uint8.
    """
    top, left = rng.integers(0, 2 * MARGIN + 1, size=2)
    view = reflectance[top : top + size, left : left + size]
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    turn = rng.uniform(0, 2 * np.pi)
    side = rng.uniform(0, 0.16) * (np.cos(turn) * x + np.sin(turn) * y)
    spot = rng.uniform(0, 0.14) * np.exp(
        -((x - rng.uniform(-1, 1)) ** 2 + (y - rng.uniform(-1, 1)) ** 2) / 0.8
    )
    light = rng.uniform(0.85, 1.15) * (1 + side + spot)
    balance = 1 + rng.normal(0, 0.018, size=3)
    noise = rng.normal(0, rng.uniform(0.008, 0.02), size=view.shape)
    values = view * light[:, :, None] * balance + noise
    pixels: npt.NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(
        np.uint8
    )
    return pixels


class _Canvas:
    """A part in the making, with its coordinates and the direction of its grain."""

    def __init__(self, rng: Rng, side: int) -> None:
        self.rng = rng
        self.side = side
        self.y, self.x = np.mgrid[0:side, 0:side].astype(np.float64)
        self.grain = rng.normal(0, 0.1)
        self.reflectance = np.full((side, side, 3), 0.5)

    def add(self, change: Float, tint: tuple[float, float, float] = (1, 1, 1)) -> None:
        """Add a (S, S) change of brightness, in units of reflectance."""
        self.reflectance += change[:, :, None] * np.array(tint)

    def blend(self, colour: Float, alpha: Float) -> None:
        """Lay a (S, S, 3) colour over the part with an (S, S) opacity."""
        opacity = np.clip(alpha, 0, 1)[:, :, None]
        self.reflectance += opacity * (colour - self.reflectance)

    def noise(self, along: float, across: float, angle: float = 0.0) -> Float:
        """Gaussian noise of variance 1, smoothed by two sigmas in pixels."""
        fy = np.fft.fftfreq(self.side)[:, None]
        fx = np.fft.rfftfreq(self.side)[None, :]
        u = np.cos(angle) * fx + np.sin(angle) * fy
        v = np.cos(angle) * fy - np.sin(angle) * fx
        gain = np.exp(-2 * np.pi**2 * ((along * u) ** 2 + (across * v) ** 2))
        white = self.rng.normal(size=(self.side, self.side))
        smooth = np.fft.irfft2(np.fft.rfft2(white) * gain, s=white.shape)
        return np.asarray(smooth / smooth.std(), dtype=np.float64)

    def frame(self, angle: float, bend: float = 0.0) -> tuple[Float, Float]:
        """Coordinates along and across a stroke through a random inner point."""
        inner = 0.18 * self.side
        cy, cx = self.rng.uniform(inner, self.side - inner, size=2)
        dy, dx = self.y - cy, self.x - cx
        u = np.cos(angle) * dx + np.sin(angle) * dy
        v = np.cos(angle) * dy - np.sin(angle) * dx
        return u, v - 0.5 * bend * u**2

    def machine(self) -> None:
        """Brush along the grain; some parts were milled in wide arcs as well."""
        rng = self.rng
        self.add(rng.normal(0, 0.035) + 0.012 * self.noise(12, 12))
        depth = rng.uniform(0.012, 0.03)
        self.add(depth * self.noise(rng.uniform(10, 30), 0.7, self.grain))
        if rng.random() < 0.3:
            cy, cx = rng.uniform(-3, -1) * self.side, rng.uniform(-1, 2) * self.side
            radius = np.hypot(self.y - cy, self.x - cx)
            wave = np.sin(2 * np.pi * radius / rng.uniform(5, 9) + self.noise(14, 14))
            self.add(rng.uniform(0.006, 0.016) * wave)

    def soil(self) -> None:
        """Add what does no harm: dust, oil, tool marks along the grain."""
        rng = self.rng
        for _ in range(rng.poisson(2.0)):
            u, v = self.frame(0.0)
            spot = np.exp(-((np.hypot(u, v) / rng.uniform(0.8, 2.2)) ** 2))
            self.add(rng.choice([-0.22, -0.15, 0.15]) * spot)
        if rng.random() < 0.3:
            u, v = self.frame(rng.uniform(0, np.pi))
            blot = np.exp(
                -((u / rng.uniform(9, 24)) ** 2 + (v / rng.uniform(6, 14)) ** 2)
            )
            warmth = rng.uniform(0, 0.35)
            self.add(-rng.uniform(0.05, 0.16) * blot, (1 - warmth, 1, 1 + warmth))
        if rng.random() < 0.3:
            self._line(self.grain + rng.normal(0, 0.03), rng.uniform(0.06, 0.16))
        if rng.random() < 0.1:
            self._bundle(self.grain + rng.normal(0, 0.05), rng.uniform(0.02, 0.05))

    def scratch(self) -> None:
        """Draw one or two thin lines across the grain, dark or bright."""
        rng = self.rng
        for _ in range(1 + (rng.random() < 0.25)):
            turn = rng.uniform(0.4, np.pi - 0.4)
            self._line(self.grain + turn, rng.uniform(0.14, 0.34))

    def rust(self) -> None:
        """Draw brownish blotches with a ragged edge and a texture of their own."""
        rng = self.rng
        for _ in range(rng.integers(1, 4)):
            u, v = self.frame(rng.uniform(0, np.pi))
            distance = np.hypot(u / rng.uniform(5, 15), v / rng.uniform(4, 10))
            field = 1 - distance + 0.35 * self.noise(2.5, 2.5)
            alpha = rng.uniform(0.22, 0.65) / (1 + np.exp(-5 * field))
            shade = 1 + 0.18 * self.noise(0.9, 0.9) + rng.normal(0, 0.1)
            self.blend(_RUST * shade[:, :, None], alpha)

    def grind_marks(self) -> None:
        """Draw one or two bundles of curved strokes off the grain's direction."""
        rng = self.rng
        for _ in range(1 + (rng.random() < 0.35)):
            turn = rng.uniform(0.6, np.pi - 0.6)
            self._bundle(self.grain + turn, rng.uniform(0.06, 0.13))

    def _line(self, angle: float, depth: float) -> None:
        rng = self.rng
        u, v = self.frame(angle, bend=rng.normal(0, 0.006))
        width, length = rng.uniform(0.8, 1.5), rng.uniform(14, 40)
        ends = 1 / (1 + np.exp((np.abs(u) - length) / 1.5))
        uneven = 0.75 + 0.25 * np.sin(u * rng.uniform(0.1, 0.3) + rng.uniform(0, 6))
        sign = rng.choice([-1.0, -1.0, 1.0])
        groove = np.exp(-((v / width) ** 2))
        rim = 0.4 * np.exp(-(((v - 1.8 * width) / width) ** 2))
        self.add(sign * depth * ends * uneven * (groove - rim))

    def _bundle(self, angle: float, depth: float) -> None:
        rng = self.rng
        u, v = self.frame(angle, bend=rng.choice([-1, 1]) * rng.uniform(0.003, 0.014))
        knots = np.arange(-3 * self.side, 3 * self.side, rng.uniform(1.2, 2.2))
        strokes = np.interp(v, knots, rng.normal(size=knots.size))
        area = (u / rng.uniform(22, 40)) ** 2 + (v / rng.uniform(16, 30)) ** 2
        self.add(depth * strokes / (1 + np.exp(4 * (area - 1))))


DEFECTS: dict[str, Callable[[_Canvas], None]] = {
    "Good": lambda canvas: None,
    "Scratch": _Canvas.scratch,
    "Rust": _Canvas.rust,
    "Grind_Marks": _Canvas.grind_marks,
}
