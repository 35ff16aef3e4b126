"""An albumentations compose as a policy: --strong example_albumentations.

It needs `pip install 'albumentations>=2.0.8,<2.1'`. A seed of its own is not needed:
each view is seeded from the run's seed.
"""

import albumentations as A

augment = A.Compose(
    [
        A.HorizontalFlip(p=0.5),
        A.Affine(translate_percent=(-0.05, 0.05), rotate=(-10, 10), p=0.8),
        A.SomeOf(
            [
                A.RandomBrightnessContrast(0.2, 0.2, p=1.0),
                A.RandomGamma((70, 140), p=1.0),
                A.GaussNoise(std_range=(0.02, 0.05), p=1.0),
            ],
            n=2,
        ),
    ]
)
