"""A torchvision compose as a policy: --strong example_torchvision.

It is given Pillow images and may return Pillow images or tensors. Leave out
Normalize (the network does it) and whatever changes the size.
"""

from torchvision.transforms import v2

augment = v2.Compose(
    [
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(degrees=10, translate=(0.05, 0.05), scale=(0.95, 1.05)),
        v2.ColorJitter(brightness=0.3, contrast=0.3),
        v2.RandomAutocontrast(p=0.2),
    ]
)
