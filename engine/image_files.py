"""Opens picture files that a person names: three formats, a size limit, no decoder's traceback."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from engine.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP")
"""Only these decoders run: Pillow's rarer readers have known holes."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

MAX_PIXELS = 80_000_000
"""Larger pictures are refused before they are decoded (decompression bombs)."""

EXIF_ORIENTATION = 0x0112
EXIF_GPS = 0x8825

_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(path: Path, what: str) -> Image.Image:
    """A decoded picture, its first frame; raises UserError for everything that is not one.

    `what` names the file's role in messages ("image", "mask").
    """
    if path.is_dir():
        raise UserError(f"the {what} {path} is a folder", "name a PNG, JPEG or WebP file")
    if not path.exists():
        raise UserError(f"there is no {what} {path}", "check the path")
    if not path.is_file():
        raise UserError(f"the {what} {path} is no regular file", "name a PNG, JPEG or WebP file")
    try:
        with warnings.catch_warnings():
            # Pillow warns of bombs and of odd metadata on stderr; the limit below decides.
            warnings.simplefilter("ignore")
            picture = Image.open(path, formats=FORMATS)
            width, height = picture.size
            if width * height > MAX_PIXELS:
                picture.close()
                raise _too_large(path, what, f"{width}x{height} pixels")
            picture.load()
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, what, "far too many pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(
            f"the {what} {path} is no PNG, JPEG or WebP picture", "convert it to PNG or JPEG"
        ) from error
    except PermissionError as error:
        raise UserError(f"the {what} {path} may not be read", "change its permissions") from error
    except Exception as error:  # A damaged file makes a decoder raise nearly anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the {what} {path} is damaged or cut off ({reason})", "save or download it again"
        ) from error
    return picture


def display_transpose(picture: Image.Image) -> Image.Transpose | None:
    """The rotation or flip that the EXIF orientation asks for, None for none."""
    try:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # Damaged EXIF data is as good as none.
        return None
    return _TRANSPOSE_BY_ORIENTATION.get(orientation)


def metadata_kinds(picture: Image.Image) -> list[str]:
    """What the file carries besides pixels, in words; empty for a clean file."""
    kinds: list[str] = []
    try:
        exif = picture.getexif()
        if len(exif):
            kinds.append("EXIF with the GPS position" if EXIF_GPS in exif else "EXIF")
    except Exception:
        kinds.append("EXIF")
    if "icc_profile" in picture.info:
        kinds.append("colour profile")
    if any(key.lower() in ("xmp", "xml:com.adobe.xmp") for key in map(str, picture.info)):
        kinds.append("XMP")
    if picture.info.get("comment") or getattr(picture, "text", None):
        kinds.append("text")
    return kinds


def _too_large(path: Path, what: str, size: str) -> UserError:
    return UserError(
        f"the {what} {path} has {size}; the limit is {MAX_PIXELS // 1_000_000} million",
        "scale it down",
    )
