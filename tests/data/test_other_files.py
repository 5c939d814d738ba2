"""Files that are no pictures that can be read are named as what they are, with a way out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from drilldown.data.pictures import find_pictures, read_picture
from drilldown.errors import DrilldownError


def document(name: str) -> bytes:
    """A ZIP archive as office programs write it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, "content")
    return file.getvalue()


def box(brand: bytes) -> bytes:
    """The beginning of a file of the ISO base media format."""
    return (24).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(200)


KINDS = {
    "HEIC": (box(b"heic"), "a HEIC picture, which drilldown cannot read", "save it as PNG or JPEG"),
    "AVIF": (box(b"avif"), "an AVIF picture", "save it as PNG or JPEG"),
    "film": (box(b"isom"), "not a picture, but a film", "save one of its pictures"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not a picture, but a PDF document", "export its page as PNG"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document", "export it as PNG"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- a digit -->\n<svg xmlns="x"/>', "an SVG drawing", "export it as PNG"),
    "SVG in UTF-16": ("<svg/>".encode("utf-16"), "an SVG drawing", "export it as PNG"),
    "DOCX": (document("word/document.xml"), "a Word document", "save its picture as PNG"),
    "ZIP": (document("digit.png"), "a ZIP archive", "unpack it first"),
    "HTML": (b"<!DOCTYPE html><html><body>404</body></html>", "a web page", "download the picture itself"),
    "text": ("eine Sieben, größer".encode(), "not a picture, but a text file", "give the picture itself"),
    "IDX": (b"\x00\x00\x08\x03" + bytes(60), "an IDX file with many images", "name its folder as a dataset"),
    "unknown": (bytes(range(1, 256)), "not a picture that can be read", "a picture file such as PNG"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_named_as_what_it_is(kind: str, tmp_path: Path) -> None:
    content, found, suggestion = KINDS[kind]
    file = tmp_path / "digit.png"  # the ending says nothing
    file.write_bytes(content)
    with pytest.raises(DrilldownError) as caught:
        read_picture(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert found in str(caught.value)
    assert suggestion in str(caught.value)


def test_pictures_are_found_by_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.PNG", "c.jpg", "notes.txt"):
        Image.new("L", (4, 4)).save(name, "PNG")
    files, problems = find_pictures([Path("c.jpg"), Path(), Path("*.png"), Path("[1].png")])
    assert [file.name for file in files] == ["c.jpg", "a.PNG", "b.png"]
    assert [str(problem) for problem in problems] == ["[1].png: no file has such a name"]
    Path("[1].png").write_bytes(Path("b.png").read_bytes())
    assert find_pictures([Path("[1].png")]) == ([Path("[1].png")], [])
    Path("empty").mkdir()
    (problem,) = find_pictures([Path("empty")])[1]
    assert str(problem).startswith("empty: a folder without pictures; expected .png")
