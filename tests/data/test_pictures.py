"""Reading pictures: on light or dark paper, turned, transparent, with 16 bits, damaged, and files of other kinds."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from drilldown.data.pictures import read_picture
from drilldown.errors import DrilldownError

SIZE = (200, 260)


def seven(mode: str = "L", paper: object = "white", ink: object = "black", size: tuple[int, int] = SIZE) -> Image.Image:
    page = Image.new(mode, size, paper)  # type: ignore[arg-type]
    width, height = size
    line = [(0.25 * width, 0.2 * height), (0.75 * width, 0.2 * height), (0.45 * width, 0.85 * height)]
    ImageDraw.Draw(page).line(line, fill=ink, width=max(2, width // 12), joint="curve")  # type: ignore[arg-type]
    return page


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(seven(), dtype=np.uint16) * 257)


def turned(folder: Path) -> Path:
    """A sideways picture with the EXIF orientation that a telephone writes."""
    note = Image.Exif()
    note[274] = 6
    file = folder / "turned.jpg"
    seven("RGB").rotate(90, expand=True).save(file, exif=note, quality=100)
    return file


@pytest.fixture
def plain(tmp_path: Path) -> torch.Tensor:
    return save(seven(), tmp_path / "plain.png")


def save(image: Image.Image, file: Path, **options: object) -> torch.Tensor:
    image.save(file, **options)  # type: ignore[arg-type]
    return read_picture(file)


def assert_alike(first: torch.Tensor, second: torch.Tensor) -> None:
    assert float((first.float() - second.float()).abs().mean()) < 2, "the images differ by more than one shade of grey"


ALIKE: dict[str, Callable[[], Image.Image]] = {
    "on black": lambda: seven(paper="black", ink="white"),
    "in colour": lambda: seven("RGB", "white", "navy"),
    "black on transparent": lambda: seven("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
    "white on transparent": lambda: seven("RGBA", (0, 0, 0, 0), (255, 255, 255, 255)),
    "on a sheet without transparent pixels": lambda: seven("RGBA", (255, 255, 255, 255), (0, 0, 0, 255)),
    "in black and white": lambda: seven("1", 1, 0),
    "in 16 bits": sixteen_bits,
    "in floating point": lambda: Image.fromarray(np.asarray(seven(), dtype=np.float32)),
    "large": lambda: seven(size=(2000, 2600)),
}


@pytest.mark.parametrize("how", ALIKE)
def test_the_same_digit_gives_the_same_image(how: str, plain: torch.Tensor, tmp_path: Path) -> None:
    assert_alike(save(ALIKE[how](), tmp_path / ("digit.tiff" if "floating" in how else "digit.png")), plain)


def test_a_picture_is_turned_by_its_exif_orientation(plain: torch.Tensor, tmp_path: Path) -> None:
    assert_alike(read_picture(turned(tmp_path)), plain)


def test_a_transparent_palette_is_read(plain: torch.Tensor, tmp_path: Path) -> None:
    assert_alike(save(seven().convert("P"), tmp_path / "palette.png", transparency=255), plain)


def error_of(file: Path) -> str:
    with pytest.raises(DrilldownError) as caught:
        read_picture(file)
    return str(caught.value)


def test_a_file_that_is_no_picture_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    seven().save(file)
    whole = file.read_bytes()
    assert error_of(tmp_path / "digits.png").endswith(
        'no such file or directory; expected a picture file such as PNG; did you mean "digit.png"?'
    )
    assert "is a directory" in error_of(tmp_path).lower()
    file.write_bytes(b"")
    assert "an empty file" in error_of(file)
    file.write_bytes(whole[: len(whole) // 2])
    assert "cut off" in error_of(file)
    file.write_text("seven")
    assert error_of(file) == (
        f"{file}: not a picture, but a text file; expected a picture file such as PNG; give the picture itself"
    )
    file.write_bytes(bytes(range(1, 256)))
    assert error_of(file) == f"{file}: not a picture that can be read; expected a picture file such as PNG"


def test_animations_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "two.gif"
    seven().save(file, save_all=True, append_images=[Image.new("L", SIZE, "white")])
    assert "contains 2 pictures; expected a single picture" in error_of(file)
    seven().save(file)
    assert read_picture(file).shape == (28, 28)


def test_pictures_that_are_too_large_are_refused_before_unpacking(tmp_path: Path) -> None:
    for size, message in (((12_000, 12_000), "more than 89 million pixels"), ((30_000, 8), "30000x8")):
        file = tmp_path / "large.png"
        Image.new("1", size).save(file)
        assert message in error_of(file)


def test_damaged_pictures_give_an_image_or_a_message(tmp_path: Path) -> None:
    draw, file = random.Random(0), tmp_path / "damaged"
    originals = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        seven(size=(40, 52)).save(file, kind)
        originals.append(file.read_bytes())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for number in range(600):
            data = bytearray(originals[number % len(originals)])
            for _ in range(draw.choice([1, 3, 20])):
                data[draw.randrange(min(len(data), draw.choice([20, 100, 10_000])))] = draw.randrange(256)
            file.write_bytes(data[: draw.choice([len(data), draw.randrange(1, len(data))])])
            with contextlib.suppress(DrilldownError):
                assert read_picture(file).shape == (28, 28)
    assert warned == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    pixels = np.zeros((40, 40), np.float32)
    pixels[5:30, 10:14] = 200
    pixels[0, 0] = value
    Image.fromarray(pixels).save(tmp_path / "odd.tiff")
    with pytest.raises(DrilldownError, match="some pixels are not finite numbers"):
        read_picture(tmp_path / "odd.tiff")


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
@pytest.mark.timeout(20)
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DrilldownError, match="not a file"):
        read_picture(tmp_path / "pipe.png")
