"""An imgaug sequence as a policy: --strong example_imgaug.

It needs `pip install 'imgaug>=0.4'`, and runs on today's numpy without a change.
"""

import imgaug.augmenters as iaa

augment = iaa.Sequential(
    [
        iaa.Fliplr(0.5),
        iaa.Affine(translate_percent=(-0.05, 0.05), rotate=(-10, 10)),
        iaa.SomeOf(
            2,
            [
                iaa.Multiply((0.8, 1.2)),
                iaa.LinearContrast((0.7, 1.3)),
                iaa.AdditiveGaussianNoise(scale=(2, 10)),
                iaa.GaussianBlur((0.0, 0.7)),
            ],
        ),
    ]
)
