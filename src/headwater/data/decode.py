"""One picture file to an array of a fixed shape: header first, then rotation, alpha, mode and size made alike."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from headwater.data.limits import Limits

__all__ = ["FORMATS", "Policy", "RefusedPictureError", "decode_picture", "peek", "quiet"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ROTATED = {5, 6, 7, 8}
_ORIENTATION = 0x0112


class RefusedPictureError(Exception):
    """A picture that is passed over; the text is the reason that the user reads."""


@dataclass(frozen=True)
class Peek:
    """What the header says: size after rotation, channels, and remarks on what decoding will change."""

    height: int
    width: int
    channels: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """What every picture is made into."""

    channels: int
    height: int
    width: int

    @property
    def mode(self) -> str:
        """Pillow's name of the channels."""
        return _MODES[self.channels]


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings off: what it warns of is checked here. Enter it once, outside of threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _opened(data: bytes, limits: Limits) -> Image.Image:
    """Parse the header only, by an allow-list of formats, and refuse what would decode too large."""
    if not data:
        raise RefusedPictureError("is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        start = data.lstrip()[:15].lower()
        kind = "an HTML page" if start.startswith((b"<!doctype html", b"<html")) else "no picture of a known format"
        raise RefusedPictureError(f"is {kind}") from None
    except Image.DecompressionBombError:
        raise RefusedPictureError(f"has more than {limits.pixels} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise RefusedPictureError(f"has a damaged header: {error}") from None
    if image.width * image.height > limits.pixels:
        raise RefusedPictureError(f"has {image.width} x {image.height} pixels, more than {limits.pixels}")
    return image


def peek(data: bytes, limits: Limits) -> Peek:
    """Size and mode from the header, nothing decoded."""
    image = _opened(data, limits)
    remarks = []
    height, width = image.height, image.width
    rotation = image.getexif().get(_ORIENTATION, 1)
    if rotation != 1:
        remarks.append("rotated as their EXIF says")
    if rotation in _ROTATED:
        height, width = width, height
    if getattr(image, "is_animated", False):
        remarks.append("animated: first frame kept")
    if image.mode.startswith(("I", "F")):
        remarks.append("16-bit or deeper: scaled to 8 bits")
    if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "1"):
        remarks.append(f"of mode {image.mode}: converted")
    alpha = "A" in image.mode or "transparency" in image.info
    grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith(("I", "F"))
    return Peek(height, width, 4 if alpha and not grey else 1 if grey else 3, tuple(remarks))


def decode_picture(data: bytes, policy: Policy, limits: Limits) -> np.ndarray:
    """``(channels, height, width)`` uint8.

    Raises:
        RefusedPictureError: damaged, too large, of no known format.
    """
    image = _opened(data, limits)
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        image = _to_mode(upright, policy.channels)
        if (image.height, image.width) != (policy.height, policy.width):
            image = ImageOps.fit(image, (policy.width, policy.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, dtype=np.uint8)
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        KeyError,
        IndexError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise RefusedPictureError(f"cannot be decoded: {error}") from None
    except Image.DecompressionBombError:
        raise RefusedPictureError(f"has more than {limits.pixels} pixels") from None
    return pixels[None] if policy.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _to_mode(image: Image.Image, channels: int) -> Image.Image:
    """Convert; deep greys are scaled, transparency is laid on white where no alpha is kept."""
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.float64)
        top = 65_535.0 if deep.max(initial=0) > 255 or image.mode != "I" else 255.0
        image = Image.fromarray(np.clip(deep * 255.0 / top, 0, 255).round().astype(np.uint8))
    elif image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("has pixels that are not finite")
        top = 255.0 if values.max(initial=0) > 1 else 1.0
        image = Image.fromarray(np.clip(values * 255.0 / top, 0, 255).round().astype(np.uint8))
    if channels != 4 and ("A" in image.mode or "transparency" in image.info):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert(_MODES[channels]) if image.mode != _MODES[channels] else image
