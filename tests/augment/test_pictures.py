from __future__ import annotations

import numpy as np
import torch

from contrastive_cxr import augment


def test_originals_stand_beside_their_augmented_selves() -> None:
    images = torch.randint(0, 256, (16, 1, 24, 24), dtype=torch.uint8)
    painted = augment.picture(images, 24, "xray-intensity", seed=4)
    pixels = np.asarray(painted)
    assert painted.mode == "L"
    assert painted.size == (4 * (2 * 24 + 4) + 4, 14 + 4 * (24 + 4) + 4)
    expected = (augment.augment(images, 24, "xray-intensity", seed=4) * 255).round().to(torch.uint8)
    left, top = 4 + 1 * 52, 14 + 4 + 2 * 28  # the tenth image: third line, second pair
    np.testing.assert_array_equal(pixels[top : top + 24, left : left + 24], images[9, 0])
    np.testing.assert_array_equal(pixels[top : top + 24, left + 24 : left + 48], expected[9, 0])
    assert (pixels[14:18] == 255).all()
    for column in range(8):  # `before` and `after` above each
        assert (pixels[:14, 4 + column // 2 * 52 + column % 2 * 24 :][:, :20] < 128).any()


def test_few_images_make_a_small_picture() -> None:
    assert augment.picture(torch.zeros(2, 1, 16, 16, dtype=torch.uint8), 16, "none", seed=0).size == (76, 38)


def test_the_parameters_in_words_are_the_ranges_that_change_something() -> None:
    chosen = augment.AugmentSet(crop=(0.5, 1.0), rotate=7.0, sigma=(0.001, 0.002), noise=0.0, noise_rate=0.5)
    assert augment.parameters(chosen) == "crop 0.5 to 1; ratio 0.75 to 1.33333; rotate 7."
    assert "flip horizontal 0.5" in augment.parameters("xray-flip")
