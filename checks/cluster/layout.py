"""Writes container images as OCI layouts: a folder of blobs named by their digests, the same bytes for the same content."""

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class File:
    """A file of a layer: from the disk, or a link if `link` is set, or a folder if neither is."""

    name: str
    source: Path | None = None
    text: str | None = None
    link: str | None = None
    mode: int = 0o755


@dataclass(frozen=True)
class Recipe:
    """What an image consists of. Layers are tars that exist."""

    layers: list[Path]
    entrypoint: list[str] = field(default_factory=list)
    user: str = "0:0"
    working_dir: str = "/"

    def config(self, digests: list[str]) -> bytes:
        run = {"User": self.user, "WorkingDir": self.working_dir, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
        if self.entrypoint:
            run["Entrypoint"] = self.entrypoint
        return encode({"architecture": "amd64", "os": "linux", "config": run, "rootfs": {"type": "layers", "diff_ids": digests}})


def encode(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def write_layer(path: Path, files: list[File]) -> None:
    """A layer of these files, root's, with one fixed date."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            entry = tarfile.TarInfo(file.name)
            entry.mode = file.mode
            if file.link is not None:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.link
                tar.addfile(entry)
            elif file.source is None and file.text is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                data = file.source.read_bytes() if file.source else (file.text or "").encode()
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


def write(folder: Path, recipe: Recipe) -> str:
    """Makes the layout; answers the manifest's digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [_copy(blobs, layer) for layer in recipe.layers]
    config = _blob(blobs, CONFIG, recipe.config([layer["digest"] for layer in layers]))
    content = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    manifest = _blob(blobs, MANIFEST, encode(content))
    (folder / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}))
    return manifest["digest"]


def _blob(blobs: Path, kind: str, data: bytes) -> dict:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _copy(blobs: Path, layer: Path) -> dict:
    with layer.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    shutil.copyfile(layer, blobs / digest)
    return {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": layer.stat().st_size}
