"""The images that the tests' pods are made of. Each is made once for what it consists of, and kept in the cache."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import layout
import needs
from layout import File, Recipe
from settings import HERE, ROOT, SUITE, cache

SDK = ROOT / "coordinator" / "src"
SLIM = ("doc", "man", "locale", "info", "lintian")
WORKER = ("git", "make", "python3-minimal", "ca-certificates")
# Whom the coordinator runs as: nobody's number, and not root's.
COORDINATOR_USER = 65532
APPLETS = ("cat", "echo", "env", "false", "id", "sha256sum", "sleep", "true")


@dataclass(frozen=True)
class Image:
    """An image in the cache."""

    name: str
    folder: Path

    @property
    def digest(self) -> str:
        return (self.folder / "digest").read_text()

    @property
    def size(self) -> int:
        """Bytes of all layers, as they are unpacked: none of them is compressed."""
        return sum(layer["size"] for layer in self.manifest["layers"])

    @property
    def user(self) -> str:
        """Whom it runs as unless a pod says otherwise."""
        return self._blob(self.manifest["config"]["digest"])["config"]["User"]

    @property
    def manifest(self) -> dict:
        return self._blob(self.digest)

    def _blob(self, digest: str) -> dict:
        return json.loads((self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_text())


def pause(work: Path) -> Recipe:
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", work / "pause", HERE / "pause.c"], check=True)
    return _of(work, [File("pause", work / "pause")], entrypoint=["/pause"])


def busybox(work: Path) -> Recipe:
    listed = subprocess.run([needs.BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    folders = [File("bin"), File("tmp", mode=0o1777), File("etc"), File("root", mode=0o700)]
    links = [File(f"bin/{applet}", link="busybox") for applet in listed if applet != "busybox"]
    accounts = [File("etc/passwd", text="root:x:0:0:root:/root:/bin/sh\n", mode=0o644), File("etc/group", text="root:x:0:\n", mode=0o644)]
    return _of(work, [*folders, File("bin/busybox", needs.BUSYBOX), *links, *accounts])


def shellless(work: Path) -> Recipe:
    """A few programs and no shell, as images without a distribution are."""
    links = [File(f"usr/bin/{applet}", link="../lib/programs") for applet in APPLETS]
    return _of(work, [File("usr"), File("usr/bin"), File("usr/lib"), File("tmp", mode=0o1777), File("usr/lib/programs", needs.BUSYBOX), *links])


def shim(work: Path) -> Recipe:
    return _of(work, [File("danube-shim", built_shim(), mode=0o555)], entrypoint=["/danube-shim"])


def registry(work: Path) -> Recipe:
    """Debian's, with what it is linked to: what a registry in a pod runs."""
    linked = subprocess.run(["ldd", needs.REGISTRY], check=True, capture_output=True, text=True).stdout
    libraries = [Path(word) for line in linked.splitlines() for word in line.split() if word.startswith("/")]
    files = [File(str(path).lstrip("/"), path.resolve()) for path in libraries]
    program = File("usr/bin/docker-registry", needs.REGISTRY)
    return _of(work, [*_with_folders([program, *files]), File("tmp", mode=0o1777)], entrypoint=["/usr/bin/docker-registry", "serve"])


def worker(work: Path) -> Recipe:
    return Recipe([debian("minbase", WORKER)])


def coordinator(work: Path) -> Recipe:
    """Python, the SDK and its runner; no shell, no build tools, not root."""
    passwd = f"root:x:0:0:root:/root:/\ndanube:x:{COORDINATOR_USER}:{COORDINATOR_USER}::/tmp:/\n"
    own = [File("etc/passwd", text=passwd, mode=0o644), File("etc/group", text=f"root:x:0:\ndanube:x:{COORDINATOR_USER}:\n", mode=0o644)]
    sources = [File("opt"), File("opt/danube"), File("opt/danube/sdk"), *(File(f"opt/danube/sdk/{path.relative_to(SDK)}", path, mode=0o644) for path in sdk_files())]
    layout.write_layer(work / "own.tar", [*own, File("tmp", mode=0o1777), *_with_folders(sources)])
    return Recipe([debian("extract", ("python3",)), work / "own.tar"], user=f"{COORDINATOR_USER}:{COORDINATOR_USER}")


RECIPES: dict[str, Callable[[Path], Recipe]] = {
    "pause": pause, "busybox": busybox, "shellless": shellless, "shim": shim, "worker": worker, "coordinator": coordinator,
    "registry": registry,
}


def _of(work: Path, files: list[File], entrypoint: list[str] | None = None) -> Recipe:
    layout.write_layer(work / "layer.tar", files)
    return Recipe([work / "layer.tar"], entrypoint=entrypoint or [])


def _with_folders(files: list[File]) -> list[File]:
    """Every folder before what lies in it."""
    named = {file.name for file in files}
    inner = {str(parent) for file in files for parent in Path(file.name).parents if str(parent) != "."} - named
    return [*(File(name) for name in sorted(inner)), *files]


def sdk_files() -> list[Path]:
    return sorted(path for path in SDK.rglob("*") if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path))


def built_shim() -> Path:
    """The static shim of these sources, as the binary's own build makes it, in the same folder."""
    if prebuilt := os.environ.get("DANUBE_SHIM_PREBUILT"):
        return Path(prebuilt)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "shim"
    triple = f"{os.uname().machine}-unknown-linux-gnu"
    command = ["cargo", "build", "--quiet", "-p", "danube-shim", "--bin", "danube-shim", "--profile", "shim", "--locked"]
    environment = {name: value for name, value in os.environ.items() if name not in ("CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS")}
    environment["RUSTFLAGS"] = "-C target-feature=+crt-static"
    subprocess.run([*command, "--target", triple, "--target-dir", target], cwd=ROOT, env=environment, check=True)
    return target / triple / "shim" / "danube-shim"


def debian_tar(variant: str, packages: tuple[str, ...]) -> Path:
    """Where it is, once it was made."""
    key = hashlib.sha256(repr((variant, packages, SUITE, SLIM)).encode()).hexdigest()[:16]
    return cache() / f"debian-{variant}-{key}.tar"


def debian(variant: str, packages: tuple[str, ...]) -> Path:
    """A root file system of Debian's packages, as a tar in the cache. Device files and documentation are left out."""
    made = debian_tar(variant, packages)
    if not made.exists():
        unfinished = cache() / f".{made.name}.{os.getpid()}"
        slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in SLIM]
        options = [f"--variant={variant}", "--mode=root", "--format=tar", "--skip=output/dev", *slim, "--aptopt=Acquire::Languages \"none\""]
        command = ["mmdebstrap", "--quiet", *options, f"--include={','.join(packages)}", SUITE, unfinished, *archives()]
        try:
            subprocess.run(command, check=True)
            unfinished.rename(made)
        finally:
            unfinished.unlink(missing_ok=True)
    return made


def archives() -> list[Path]:
    """Where this machine itself takes Debian's packages of the suite from."""
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list")), *sorted((apt / "sources.list.d").glob("*.sources"))]
    wanted = re.compile(rf"\b{SUITE}\b.*\bmain\b", re.DOTALL)
    return [path for path in files if path.exists() and wanted.search(path.read_text())]


def key(name: str) -> str:
    """Of what decides an image's content: the rules of this folder, and the sources that go in."""
    digest = hashlib.sha256()
    for path in (HERE / "images.py", HERE / "layout.py", HERE / "pause.c", needs.BUSYBOX):
        digest.update(path.read_bytes())
    inner = {"shim": lambda: [built_shim()], "coordinator": sdk_files}.get(name, list)
    for path in inner():
        digest.update(str(path.name).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def missing() -> list[str]:
    """Those that take long to make, and are not in the cache."""
    listed = [("worker", debian_tar("minbase", WORKER)), ("coordinator", debian_tar("extract", ("python3",)))]
    return [name for name, path in listed if not path.exists()]


def make(say: Callable[[str], None]) -> list[Image]:
    """All of them, from the cache where they are there."""
    needs.to_build_images()
    return [_make_one(name, say) for name in RECIPES]


def _make_one(name: str, say: Callable[[str], None]) -> Image:
    image = Image(name, cache() / "images" / f"{name}-{key(name)}")
    if image.folder.exists():
        return image
    say(f"making the image {name}")
    image.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=image.folder.parent, prefix=".") as work:
        unfinished = Path(work) / "layout"
        unfinished.mkdir()
        (unfinished / "digest").write_text(layout.write(unfinished, RECIPES[name](Path(work))))
        unfinished.chmod(0o755)
        unfinished.rename(image.folder)
    forget_older(image)
    return image


def forget_older(image: Image, kept: int = 3) -> None:
    """Every change of the sources makes new ones; only the last few are of use."""
    others = sorted(image.folder.parent.glob(f"{image.name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in others[kept:]:
        shutil.rmtree(folder, ignore_errors=True)
