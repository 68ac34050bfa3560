"""Reinhard and Macenko once more, in float64, step by step as the papers have them."""

import numpy as np

_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE = np.array([0.950456, 1.0, 1.088754])


def to_lab(image):
    rgb = image / 255.0
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    ratio = linear @ _XYZ.T / _WHITE
    x, y, z = np.moveaxis(np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def from_lab(lab):
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = np.where(roots > 6 / 29, roots**3, (roots - 16 / 116) / 7.787)
    linear = np.clip(ratio * _WHITE @ np.linalg.inv(_XYZ).T, 0, 1)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def reinhard(image, mean, deviation, max_gain):
    """Without rounding, float64 in 0..255."""
    lab = to_lab(image)
    own_mean, own_deviation = lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))
    with np.errstate(divide="ignore"):
        gain = np.minimum(deviation / own_deviation, max_gain)
    return from_lab((lab - own_mean) * gain + mean)


def density_of(image, light=98):
    """Optical density `[pixels, 3]` against the image's own light, not below 0."""
    pixels = image.reshape(-1, 3).astype(np.float64)
    return np.maximum(-np.log((pixels + 1) / (np.percentile(pixels, light, axis=0) + 1)), 0)


def macenko_stains(image, beta=0.15, alpha=1):
    """The two stain vectors as rows, the one that absorbs less green first."""
    density = density_of(image)
    stained = density[(density >= beta).all(axis=1)]
    _, _, axes = np.linalg.svd(stained - stained.mean(axis=0), full_matrices=False)
    axes = np.array([axis if axis @ stained.mean(axis=0) >= 0 else -axis for axis in axes[:2]])
    angles = np.arctan2(stained @ axes[1], stained @ axes[0])
    ends = [np.cos(a) * axes[0] + np.sin(a) * axes[1] for a in np.percentile(angles, [alpha, 100 - alpha])]
    return np.array(sorted(ends, key=lambda stain: stain[1]))


def macenko(image, reference, amounts, max_gain):
    """Without rounding, float64 in 0..255."""
    density = density_of(image)
    solved, *_ = np.linalg.lstsq(macenko_stains(image).T, density.T, rcond=None)
    gain = np.minimum(amounts / np.percentile(solved, 99, axis=1), max_gain)
    result = 256 * np.exp(-(reference.T @ (solved * gain[:, None]))) - 1
    return np.clip(result.T, 0, 255).reshape(image.shape)
