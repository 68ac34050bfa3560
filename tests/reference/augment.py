"""Warp and colour jitter, pixel by pixel, in Python and NumPy float64."""

import colorsys

import numpy as np


def reflect(index, length):
    """BORDER_REFLECT_101 by walking back from the border until inside."""
    while not 0 <= index < length:
        index = -index if index < 0 else 2 * (length - 1) - index
    return index


def warp(image, matrix, size):
    """Bilinear reading of one image `[h, w, 3]` at `matrix @ (u, v, 1)`: `[size, size, 3]`, 0..255."""
    out = np.zeros((size, size, 3))
    for row in range(size):
        for column in range(size):
            place = np.array([column - (size - 1) / 2, row - (size - 1) / 2, 1.0])
            out[row, column] = bilinear(image, *(np.asarray(matrix, np.float64) @ place))
    return out


def bilinear(image, x, y):
    height, width = image.shape[:2]
    left, top = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(3)
    for i, wx in ((left, left + 1 - x), (left + 1, x - left)):
        for j, wy in ((top, top + 1 - y), (top + 1, y - top)):
            total += wx * wy * image[reflect(j, height), reflect(i, width)].astype(np.float64)
    return total


def jitter(image, brightness, contrast, saturation, hue):
    """The four steps of the colour jitter one after the other on `[h, w, 3]`, 0..1; hue in radians."""
    image = image * brightness
    grey = np.array([luma(image).mean()] * 3)
    image = grey + contrast * (image - grey)
    own = luma(image)[..., None]
    image = own + saturation * (image - own)
    return np.clip(turn_hue(image, hue), 0, 1)


def luma(image):
    return 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]


def turn_hue(image, angle):
    """I and Q of YIQ as one complex number, multiplied by exp(i angle)."""
    r, g, b = np.moveaxis(image, -1, 0)
    chroma = (0.596 * r - 0.274 * g - 0.322 * b) + 1j * (0.211 * r - 0.523 * g + 0.312 * b)
    chroma = chroma * np.exp(1j * angle)
    rows = [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
    return np.stack([luma(image), chroma.real, chroma.imag], -1) @ np.linalg.inv(rows).T


def hue_of(colour):
    """HSV hue of one colour as a share of the circle."""
    return colorsys.rgb_to_hsv(*colour)[0]
