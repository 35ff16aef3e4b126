"""Objects of other augmentation libraries, made to look like one function.

An object is known by the name of its class's module; no library is imported here.
"""

from __future__ import annotations

import importlib

from uda.augment.adapters.base import Adapter, library_of, parts_of

__all__ = ["SUPPORTED", "Adapter", "adapt"]

SUPPORTED = (
    "a torchvision transform or Compose (v1 or v2), an albumentations transform or "
    "Compose, an imgaug augmenter, a kornia augmentation or AugmentationSequential, "
    "a transform of the randaugment package, or a native uda Policy"
)
# The library an object comes from -> the class that adapts it. timm's transforms
# take Pillow images and sit in torchvision composes.
_ADAPTERS = {
    "torchvision": "TorchvisionAdapter",
    "timm": "TorchvisionAdapter",
    "albumentations": "AlbumentationsAdapter",
    "imgaug": "ImgaugAdapter",
    "kornia": "KorniaAdapter",
    "randaugment": "RandaugmentAdapter",
}
_MODULES = {"timm": "torchvision"}


def adapt(transform: object) -> Adapter | None:
    """Return the adapter of an object, or None for one of no known library.

    Args:
        transform: what a user's file calls ``augment`` or ``policy``.

    Raises:
        ValueError: an object that normalises: the network does that itself.
    """
    if isinstance(transform, type) or not callable(transform):
        return None
    library = library_of(transform, _ADAPTERS)
    if library is None:
        return None
    for part in parts_of(transform):
        if type(part).__name__ == "Normalize":
            raise ValueError(
                "it normalises, but the network does that itself, after the views; "
                "take Normalize out"
            )
    module = importlib.import_module(
        f"uda.augment.adapters.{_MODULES.get(library, library)}"
    )
    adapter: Adapter = getattr(module, _ADAPTERS[library])(transform)
    return adapter
