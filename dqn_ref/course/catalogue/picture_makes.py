"""Resizing of other make: the same eight methods with matrices of NumPy, with torch, and by hand.

A filter is a matrix of weights, one row for each pixel of the result; an image is resized by one
matrix from the left and one from the right. What the matrices hold is each filter's definition, so
that they serve as right versions, and with one part exchanged as wrong ones.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from PIL import Image

METHODS = ("area", "bilinear", "nearest", "bicubic", "stride")
METHODS += ("pil_nearest", "pil_bilinear", "pil_bicubic")


def refuse_unknown(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"no method {method}")


def rounded(picture: np.ndarray) -> np.ndarray:
    """To uint8; what lies outside 0 to 255 is cut off."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def area_weights(size: int, wanted: int) -> np.ndarray:
    """`(wanted, size)`: the share of each old pixel that lies under a new one."""
    edges = np.arange(wanted + 1)[:, None] * size / wanted
    covered = np.clip(edges, np.arange(size), np.arange(1, size + 1))
    return np.diff(covered, axis=0) * wanted / size


def triangle(x: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(x), 0, None)


def cubic(sharpness: float):
    """Keys' cubic: -0.75 is OpenCV's and torch's, -0.5 Pillow's."""
    a = sharpness

    def weight(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = a * (((x - 5) * x + 8) * x - 4)
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    return weight


def local_weights(size: int, wanted: int, kernel) -> np.ndarray:
    """OpenCV's: the kernel looks at the old pixels around a new one's centre, however few."""
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    weights = np.zeros((wanted, size))
    for number, centre in enumerate(centres):
        for pixel in range(int(np.floor(centre)) - 2, int(np.floor(centre)) + 4):
            inside = min(max(pixel, 0), size - 1)  # the border is repeated
            weights[number, inside] += kernel(np.array(pixel - centre))
    return weights


def growing_weights(size: int, wanted: int, kernel) -> np.ndarray:
    """Pillow's: the kernel grows with the reduction, so that every old pixel counts."""
    scale = max(size / wanted, 1)
    centres = (np.arange(wanted) + 0.5) * size / wanted
    weights = kernel((np.arange(size)[None] + 0.5 - centres[:, None]) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


def apply(rows: np.ndarray, columns: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Both matrices, in float64."""
    return np.einsum("hr,rc...,wc->hw...", rows, image.astype(float), columns, optimize=True)


def every_nth(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Keeps the first row and column; the smallest step that leaves no more than wanted."""
    kept = image[:: -(-image.shape[0] // height), :: -(-image.shape[1] // width)]
    if kept.shape[:2] != (height, width):
        raise ValueError("no stride")
    return kept.copy()


def _weights(method: str, size: int, wanted: int) -> np.ndarray:
    match method:
        case "area":
            return area_weights(size, wanted)
        case "bilinear":
            return local_weights(size, wanted, triangle)
        case "bicubic":
            return local_weights(size, wanted, cubic(-0.75))
        case "pil_bilinear":
            return growing_weights(size, wanted, triangle)
    return growing_weights(size, wanted, cubic(-0.5))


def filtered(image, height, width, method):
    """The picture at its new size, in float64 where the method makes new values, not rounded."""
    if image.shape[:2] == (height, width):
        return image.copy()
    if method == "stride":
        return every_nth(image, height, width)
    if method.endswith("nearest"):
        middle = 0.5 if method == "pil_nearest" else 0.0
        rows = ((np.arange(height) + middle) * image.shape[0] / height).astype(int)
        columns = ((np.arange(width) + middle) * image.shape[1] / width).astype(int)
        return image[np.ix_(rows, columns)]
    rows, columns = (_weights(method, *n) for n in zip(image.shape, (height, width), strict=False))
    return apply(rows, columns, image)


def with_matrices(image, height, width, method="area"):
    refuse_unknown(method)
    return rounded(filtered(image, height, width, method))


_TORCH = {
    "bilinear": {"mode": "bilinear"},
    "bicubic": {"mode": "bicubic"},
    "nearest": {"mode": "nearest"},
    "pil_nearest": {"mode": "nearest-exact"},
    "pil_bilinear": {"mode": "bilinear", "antialias": True},
    "pil_bicubic": {"mode": "bicubic", "antialias": True},
}


def with_torch(image, height, width, method="area"):
    refuse_unknown(method)
    if method == "stride":
        return every_nth(image, height, width)
    layers = torch.tensor(image.reshape(*image.shape[:2], -1)).permute(2, 0, 1).double()[None]
    if method == "area":
        rows, columns = (
            torch.tensor(area_weights(*n)) for n in zip(image.shape, (height, width), strict=False)
        )
        layers = rows @ layers @ columns.T
    else:
        layers = torch.nn.functional.interpolate(layers, (height, width), **_TORCH[method])
    layers = layers[0].round().clamp(0, 255).byte().permute(1, 2, 0)
    return layers.reshape(height, width, *image.shape[2:]).numpy()


def with_ifs(image, height, width, method="area"):
    """cv2 and Pillow, size for size, without a table and without a special case."""
    if method == "stride":
        steps = [math.ceil(n / m) for n, m in zip(image.shape, (height, width), strict=False)]
        result = image[:: steps[0], :: steps[1]]
        if result.shape[:2] == (height, width):
            return np.ascontiguousarray(result)
        raise ValueError("no stride")
    if method.startswith("pil_"):
        name = method.removeprefix("pil_").upper()
        if name in Image.Resampling.__members__ and method in METHODS:
            picture = Image.fromarray(image)
            return np.asarray(picture.resize((width, height), Image.Resampling[name]))
    elif method == "area":
        return cv2.resize(image, dsize=(width, height), interpolation=cv2.INTER_AREA)
    elif method == "bilinear":
        return cv2.resize(image, (width, height))
    elif method == "nearest":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)
    elif method == "bicubic":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    raise ValueError(method)


def with_floats(image, height, width, method="area"):
    """OpenCV in float32, rounded once; nearest by whole numbers."""
    refuse_unknown(method)
    names = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    if method in names:
        picture = np.asarray(image, np.float32)
        return rounded(cv2.resize(picture, (width, height), interpolation=names[method]))
    if method == "nearest":
        rows = [row * image.shape[0] // height for row in range(height)]
        columns = [column * image.shape[1] // width for column in range(width)]
        return np.stack([image[row][columns] for row in rows])
    return with_ifs(image, height, width, method)
