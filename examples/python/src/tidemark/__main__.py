"""The command line: `tidemark max VERSION...`, `tidemark next major|minor|patch VERSION`."""

import sys

from tidemark.version import Version


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    try:
        match arguments:
            case ["max", *texts] if texts:
                print(max(map(Version.parse, texts)))
            case ["next", part, text]:
                print(Version.parse(text).raised(part))
            case _:
                print("usage: tidemark max VERSION... | tidemark next major|minor|patch VERSION", file=sys.stderr)
                return 2
    except ValueError as error:
        print(f"tidemark: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
