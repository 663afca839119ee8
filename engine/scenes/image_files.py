"""Reads picture files that a person names: known formats, a size limit, no decoder's traceback.

Shapes: H, W height and width in pixels.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from engine.core.errors import UserError
from engine.scenes.findings import Finding

Pixels = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Only these decoders run: Pillow's rarer readers have known holes. JPEG's reads MPO too."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif")
KNOWN = "PNG, JPEG, WebP, TIFF, BMP or HEIC"

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

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


class Opened(NamedTuple):
    """A decoded picture file."""

    picture: Image.Image
    """Its first frame."""
    findings: tuple[Finding, ...] = ()


def open_picture(path: Path, what: str) -> Opened:
    """A decoded picture; raises UserError for everything that is not one.

    `what` names the file's role in messages ("image", "mask").
    """
    if path.is_dir():
        raise UserError(f"the {what} {path} is a folder", f"name a {KNOWN} file")
    if not path.exists():
        raise UserError(f"there is no {what} {path}", "check the path")
    if not path.is_file():
        raise UserError(f"the {what} {path} is no regular file", f"name a {KNOWN} file")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            # Pillow warns of bombs and of odd metadata on stderr; the limit below decides.
            warnings.simplefilter("ignore")
            head = file.read(12)
            file.seek(0)
            if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS:
                return Opened(_open_heic(file, path, what))
            picture = Image.open(file, formats=FORMATS)
            _check_pixels(picture.size, path, what)
            try:
                picture.load()
            except OSError:
                whole = _without_end_marker(path) if picture.format in ("JPEG", "MPO") else None
                if whole is None:
                    raise
                message = f"the {what} {path} has no end marker; all of its pixels are there"
                return Opened(whole, (Finding("warning", message, "save it again"),))
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, what, "far too many pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(
            f"the {what} {path} is no {KNOWN} picture", "convert it to PNG or JPEG"
        ) from error
    except PermissionError as error:
        raise UserError(f"the {what} {path} may not be read", "change its permissions") from error
    except Exception as error:  # A damaged file makes a decoder raise nearly anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the {what} {path} is damaged or cut off ({reason})", "save or download it again"
        ) from error
    return Opened(picture)


def _open_heic(file: BinaryIO, path: Path, what: str) -> Image.Image:
    """An iPhone's photo, upright, by the optional reader."""
    try:
        import pi_heif
    except ImportError as error:
        raise UserError(
            f"the {what} {path} is a HEIC picture, which needs another package to be read",
            "pip install 'bas-tui[heic]', or save it as JPEG",
        ) from error
    container = pi_heif.open_heif(file)
    _check_pixels(container.size, path, what)
    return container.to_pillow()


def _without_end_marker(path: Path) -> Image.Image | None:
    """A JPEG that lacks nothing but its last two bytes; None where pixels are missing.

    Where all pixels are there, a decoder never looks at what follows them: different endings give
    the same picture.
    """
    data = path.read_bytes()
    try:
        pictures = [
            Image.open(io.BytesIO(data + filling + b"\xff\xd9"), formats=("JPEG",))
            for filling in (b"", b"\x00" * 64, b"\x55" * 64)
        ]
        pixels = [picture.convert("RGB").tobytes() for picture in pictures]
    except OSError:
        return None
    return pictures[0] if pixels[0] == pixels[1] == pixels[2] else None


def _check_pixels(size: tuple[int, int], path: Path, what: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(path, what, f"{size[0]}x{size[1]} pixels")


def display_transpose(picture: Image.Image) -> Image.Transpose | None:
    """The rotation or flip that the EXIF orientation asks for, None for none."""
    exif = _exif(picture)
    return _TRANSPOSE_BY_ORIENTATION.get(exif.get(EXIF_ORIENTATION, 1)) if exif else None


def metadata_kinds(picture: Image.Image) -> list[str]:
    """What the file carries besides pixels, in words; empty for a clean file."""
    kinds: list[str] = []
    exif = _exif(picture)
    if exif:
        kinds.append("EXIF with the GPS position" if EXIF_GPS in exif else "EXIF")
    if "icc_profile" in picture.info:
        kinds.append("colour profile")
    if any(key.lower() in ("xmp", "xml:com.adobe.xmp") for key in map(str, picture.info)):
        kinds.append("XMP")
    written = [
        value for key, value in picture.info.items() if key not in ("xmp", "XML:com.adobe.xmp")
    ]
    if picture.info.get("comment") or any(isinstance(value, str) for value in written):
        kinds.append("text")
    return kinds


class Photo(NamedTuple):
    """A picture as a scene needs it."""

    pixels: Pixels
    """HxWx3, upright."""
    notes: list[str]
    """What was done to it, one line each."""
    transpose: Image.Transpose | None
    """The turn that the EXIF orientation asked for, already applied."""
    alpha: npt.NDArray[np.uint8] | None = None
    """HxW, upright; None without transparency."""
    findings: tuple[Finding, ...] = ()


def read_photo(path: Path) -> Photo:
    """A picture upright, in sRGB, without transparency and metadata; raises UserError."""
    picture, findings = open_picture(path, "image")
    notes: list[str] = []
    # The further pictures of an MPO file are previews and depth maps of the same photo.
    if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
        pages = picture.format == "TIFF"
        notes.append(f"took the first {'page' if pages else 'frame of an animation'}")
    transpose = display_transpose(picture)
    kinds = metadata_kinds(picture)
    rgb = _to_rgb(picture, notes)
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    if transpose is not None and alpha is not None:
        alpha = alpha.transpose(transpose)
    if transpose is not None:
        rgb = rgb.transpose(transpose)
        notes.append(f"turned upright as its EXIF orientation says: {rgb.width}x{rgb.height}")
    if kinds:
        notes.append("dropped its metadata: " + ", ".join(kinds))
    opacity = None if alpha is None else np.array(alpha)
    return Photo(np.array(rgb), notes, transpose, opacity, findings)


def _to_rgb(picture: Image.Image, notes: list[str]) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it.
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        picture = Image.fromarray(grey)
    if picture.has_transparency_data:
        notes.append("put its transparent parts on white")
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    converted = _to_srgb(picture)
    if converted is not None:
        notes.append("converted its colours to sRGB")
        return converted
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _to_srgb(picture: Image.Image) -> Image.Image | None:
    """The picture in sRGB where its profile says another colour space, else None."""
    profile_bytes = picture.info.get("icc_profile")
    if not profile_bytes or picture.mode not in ("RGB", "CMYK"):
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # A damaged profile is as good as none.
        return None


def _exif(picture: Image.Image) -> Image.Exif | None:
    """The EXIF data; damaged data is as good as none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return picture.getexif()
    except Exception:  # Pillow's parser raises nearly anything.
        return None


def _too_large(path: Path, what: str, size: str) -> UserError:
    return UserError(
        f"the {what} {path} has {size}; the limit is {MAX_PIXELS // 1_000_000} million",
        "scale it down",
    )
