"""RandAugment of the randaugment package: --strong example_randaugment.

Two of 15 ops, each with probability 0.5. Its Cutout, Posterize, Solarize, Invert
and wide translations hide small defects: try `uda policy preview` first.
"""

from randaugment import RandAugment

augment = RandAugment()
