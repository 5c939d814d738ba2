"""Names files that are not pictures that can be read, by their first bytes, and says what to do with them."""

from __future__ import annotations

from pathlib import Path

HEAD = 1024
"""The number of bytes that are looked at."""
AS_PNG = "save it as PNG or JPEG"

_BRANDS = {
    b"heic": "a HEIC picture", b"heix": "a HEIC picture", b"hevc": "a HEIC picture", b"heim": "a HEIC picture",
    b"mif1": "a HEIF picture", b"msf1": "a HEIF picture", b"avif": "an AVIF picture", b"avis": "an AVIF picture",
    b"crx ": "a camera's raw picture (CR3)", b"qt  ": "a QuickTime film",
}  # fmt: skip
"""The kinds of files that begin with a box `ftyp`, by their brand; the others are films."""
_HEADS = (
    (b"%PDF", "a PDF document", "export its page as PNG"),
    (b"%!PS", "a PostScript document (PS, EPS)", "export it as PNG"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document (PS, EPS)", "export it as PNG"),
    (b"\xff\x0a", "a JPEG XL picture", AS_PNG),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture", AS_PNG),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture", AS_PNG),
    (b"8BPS", "a Photoshop document (PSD)", "export it as PNG"),
    (b"gimp xcf", "a GIMP document (XCF)", "export it as PNG"),
    (b"\x00\x00\x01\x00", "an icon (ICO)", AS_PNG),
    (b"\x93NUMPY", "a NumPy array", "give images to `Run.predict` in Python"),
    (b"\x00\x00\x08\x03", "an IDX file with many images", "name its folder as a dataset in an experiment"),
    (b"\xd0\xcf\x11\xe0", "an Office document", "save its picture as PNG"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"\x1aE\xdf\xa3", "a film (WebM, MKV)", "save one of its pictures as PNG"),
    (b"RIFF", "a film or a sound (RIFF)", "save one of its pictures as PNG"),
)
"""The kinds of other files, by their first bytes."""
_ZIPPED = (
    (b"word/", "a Word document (DOCX)"),
    (b"ppt/", "a PowerPoint document (PPTX)"),
    (b"xl/", "an Excel document (XLSX)"),
    (b"opendocument", "an OpenDocument file"),
)
"""The kinds of documents that are ZIP archives, by a name or a type that they contain."""


def name_other_file(file: Path) -> tuple[str, str] | None:
    """Returns the kind of a file that is no picture that can be read, and a suggestion; None if the kind is unknown.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "digit.png"
    ...     _ = file.write_bytes(b"%PDF-1.7")
    ...     name_other_file(file)
    ('a PDF document', 'export its page as PNG')
    """
    with file.open("rb") as opened:
        head = opened.read(HEAD)
        if head[:4] == b"PK\x03\x04":
            return _name_archive(head + opened.read(64 * HEAD))
    if head[4:8] == b"ftyp":
        kind = _BRANDS.get(head[8:12], "a film")
        return kind, AS_PNG if "picture" in kind else "save one of its pictures as PNG"
    for start, kind, suggestion in _HEADS:
        if head.startswith(start):
            return kind, suggestion
    return _name_text(head)


def _name_archive(head: bytes) -> tuple[str, str]:
    for mark, kind in _ZIPPED:
        if mark in head:
            return kind, "save its picture as PNG"
    return "a ZIP archive", "unpack it first"


def _name_text(head: bytes) -> tuple[str, str] | None:
    """Names a text; None for bytes that are no text."""
    try:
        text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8").lstrip("\ufeff").lower()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not only a character that was cut
            return None
        text = head[: error.start].decode().lower()
    if not text.strip() or "\x00" in text:
        return None
    if "<svg" in text:
        return "an SVG drawing", "export it as PNG"
    if text.lstrip().startswith(("<!doctype html", "<html")):
        return "a web page (HTML), perhaps in place of a download", "download the picture itself"
    return "a text file", "give the picture itself"
