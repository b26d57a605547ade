"""Prints what `import danube` costs beyond an empty Python, over RUNS paired runs: `measure_import.py [RUNS]`."""

import os
import resource
import statistics
import sys

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "src")
IMPORT = f"import sys; sys.path.append({SOURCE!r}); import danube"


def cost(code: str) -> tuple[float, float]:
    """CPU milliseconds and MiB of memory of one Python."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", code], os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit("the import failed")
    return (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    cost(IMPORT)
    pairs = [(cost("pass"), cost(IMPORT)) for _ in range(runs)]
    cpu = statistics.median(after[0] - before[0] for before, after in pairs)
    memory = statistics.median(after[1] for _, after in pairs)
    alone = statistics.median(after[0] for _, after in pairs)
    print(f"import danube: {cpu:.1f} ms CPU ({alone:.1f} ms with Python's own start), {memory:.1f} MiB in all, {runs} runs")


if __name__ == "__main__":
    main()
