"""Packs the library into one executable file: `package.py TARGET`."""

import sys
import zipfile
from pathlib import Path

START = b"import sys\n\nfrom tidemark.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"


def main(target: Path) -> None:
    source = Path(__file__).resolve().parents[1] / "src"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("__main__.py", START)
        for path in sorted(source.rglob("*.py")):
            archive.write(path, path.relative_to(source))
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
