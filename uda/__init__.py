"""uda: train a defect classifier from few labelled and many unlabelled images.

Shape letters used in docstrings of the whole package: N images, B labelled
batch, U unlabelled batch, C classes, D features, K image channels, H height,
W width. From Python, start with ``from uda import api``.
"""

from __future__ import annotations

__version__ = "0.1.0"
