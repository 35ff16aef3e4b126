"""A kornia sequence as a policy: --strong example_kornia.

It needs `pip install 'kornia>=0.9'`. It is given one image at a time, so each view
draws its own ops.
"""

import kornia.augmentation as K

augment = K.AugmentationSequential(
    K.RandomHorizontalFlip(p=0.5),
    K.RandomAffine(degrees=10.0, translate=(0.05, 0.05), p=0.8),
    K.RandomBrightness((0.8, 1.2), p=0.5),
    K.RandomContrast((0.8, 1.2), p=0.5),
    K.RandomGaussianNoise(std=0.03, p=0.5),
    data_keys=["input"],
)
