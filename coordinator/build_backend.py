"""Builds the package by PEP 517 with nothing but the standard library, so that `pip install ./coordinator` works offline.

The same source gives the same bytes: names are sorted, and times are fixed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
STEM = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"
EPOCH = (1980, 1, 1, 0, 0, 0)
SDIST = ["pyproject.toml", "README.md", "build_backend.py", "src/danube-runner.py"]


def build_wheel(folder: str, settings: object = None, metadata: object = None) -> str:
    """Writes a wheel and returns its name."""
    return _write_wheel(folder, {str(path.relative_to(HERE / "src")): path.read_bytes() for path in _modules()})


def build_editable(folder: str, settings: object = None, metadata: object = None) -> str:
    """Writes a wheel that only points at the source."""
    return _write_wheel(folder, {"danube-sdk.pth": f"{HERE / 'src'}\n".encode()})


def build_sdist(folder: str, settings: object = None) -> str:
    """Writes a source archive and returns its name."""
    name = f"{STEM}.tar.gz"
    files = {path: (HERE / path).read_bytes() for path in SDIST}
    files |= {str(path.relative_to(HERE)): path.read_bytes() for path in _modules()}
    # Not by mode "w:gz", which writes the time of day.
    with gzip.GzipFile(Path(folder, name), "wb", mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, content in sorted({**files, "PKG-INFO": _metadata()}.items()):
                member = tarfile.TarInfo(f"{STEM}/{path}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return name


def _modules() -> list[Path]:
    folder = HERE / "src" / "danube"
    return sorted([*folder.rglob("*.py"), folder / "py.typed"])


def _write_wheel(folder: str, files: dict[str, bytes]) -> str:
    name = f"{STEM}-py3-none-any.whl"
    about = f"{STEM}.dist-info"
    files[f"{about}/METADATA"] = _metadata()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: danube-sdk\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = _record(files, f"{about}/RECORD")
    with zipfile.ZipFile(Path(folder, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            member = zipfile.ZipInfo(path, EPOCH)
            member.external_attr = 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(member, content)
    return name


def _record(files: dict[str, bytes], own_path: str) -> bytes:
    lines = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    return "\n".join([*lines, f"{own_path},,", ""]).encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _metadata() -> bytes:
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", PROJECT["name"]),
        ("Version", PROJECT["version"]),
        ("Summary", PROJECT["description"]),
        ("License-Expression", PROJECT["license"]),
        ("Keywords", ",".join(PROJECT["keywords"])),
        *(("Classifier", classifier) for classifier in PROJECT["classifiers"]),
        ("Requires-Python", PROJECT["requires-python"]),
        ("Description-Content-Type", "text/markdown"),
    ]
    head = "".join(f"{name}: {value}\n" for name, value in fields)
    return (head + "\n" + (HERE / PROJECT["readme"]).read_text()).encode()
