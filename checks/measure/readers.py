"""Live streams: from a step's write to its arrival with 200 readers (B3), and 500 of whom some stop reading.

One process reads all sockets. The step writes the time into each line; what a reader makes of it is the reader's cost and
counts. `READERS=n` and `LINES=n` make other numbers.
"""

import json
import os
import re
import selectors
import socket
import statistics
import time

READERS = int(os.environ.get("READERS", "200"))
LINES = int(os.environ.get("LINES", "100"))
STAMP = re.compile(rb"at (\d{19})")
# A line each 50 ms that says when it was written.
TELLS = f"for n in $(seq {LINES}); do echo at $(date +%s%N); sleep 0.05; done"
# As fast as it can, for a step that a reader could hold up.
POURS = f"yes '{'x' * 95}' | head -c 200000000"


class Reader:
    """One open stream."""

    def __init__(self, master, job):
        port = int(master.found["url"].rsplit(":", 1)[1])
        self.socket = socket.create_connection(("127.0.0.1", port))
        head = (f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Authorization: Bearer {master.found['token']}\r\n\r\n")
        self.socket.sendall(head.encode())
        self.socket.setblocking(False)
        self.rest, self.delays, self.bytes, self.over = b"", [], 0, False

    def read(self):
        """Takes what has come; false when the stream has ended."""
        try:
            piece = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        now = time.time_ns()
        self.bytes += len(piece)
        text = self.rest + piece
        for found in STAMP.finditer(text):
            self.delays.append((now - int(found[1])) / 1e6)
        # A stamp may have come in part; one that was read is not read again.
        last = max((found.end() for found in STAMP.finditer(text)), default=0)
        self.rest = text[max(last, len(text) - 64):]
        self.over = self.over or b"event: end" in text or not piece
        return not self.over


def follow(readers):
    """Reads all of them to the end of their streams."""
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.socket, selectors.EVENT_READ, reader)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.read():
                    selector.unregister(key.fileobj)


def cpu(pid):
    """CPU seconds of one process without its children."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def trigger(running):
    return json.loads(running.ask("POST", "/pipelines/bench/jobs"))["id"]


def step_seconds(running, job):
    while True:
        told = json.loads(running.ask("GET", f"/jobs/{job}"))
        if told["finished_ms"]:
            return next(step for step in told["steps"] if step["number"] == 1)["duration_ms"] / 1000
        time.sleep(0.05)


def tells(danube, bench, count):
    with bench.Project(danube, f"step.run({TELLS!r})") as project:
        running = bench.Master(project)
        job = trigger(running)
        readers = [Reader(running, job) for _ in range(count)]
        before, began = cpu(running.process.pid), time.monotonic()
        follow(readers)
        cores = (cpu(running.process.pid) - before) / (time.monotonic() - began)
        memory = bench.pss(running.process.pid)
        running.stop()
    # The first lines were written before the last reader was there.
    settled = sorted(delay for reader in readers for delay in reader.delays[len(reader.delays) // 5:])
    whole = sum(len(reader.delays) == LINES for reader in readers)
    print(f"B3 {count} readers, {LINES} lines: p50 {statistics.median(settled):.1f} ms  p99 {settled[int(len(settled) * 0.99)]:.1f} ms  "
          f"most {settled[-1]:.1f} ms  {cores:.2f} cores  {memory:.1f} MB PSS  {whole} of {count} got every line", flush=True)


def pours(danube, bench, count):
    """The time of a step that writes 200 MB, alone and with streams that were opened and are never read."""
    with bench.Project(danube, f"step.run({POURS!r})") as project:
        running = bench.Master(project)
        alone, beside = [], []
        for _ in range(3):
            alone.append(step_seconds(running, trigger(running)))
            job = trigger(running)
            readers = [Reader(running, job) for _ in range(count)]
            beside.append(step_seconds(running, job))
            memory = bench.pss(running.process.pid)
            for reader in readers:
                reader.socket.close()
        running.stop()
    print(f"B3 200 MB in a step: {statistics.median(alone):.2f} s alone, {statistics.median(beside):.2f} s with {count} streams "
          f"that nobody reads; the master has {memory:.1f} MB PSS", flush=True)


def mixed(danube, bench, count, stopped):
    """Of many readers some stop: what the others get."""
    with bench.Project(danube, f"step.run({TELLS!r})") as project:
        running = bench.Master(project)
        job = trigger(running)
        readers = [Reader(running, job) for _ in range(count)]
        before, began = cpu(running.process.pid), time.monotonic()
        follow(readers[stopped:])
        cores = (cpu(running.process.pid) - before) / (time.monotonic() - began)
        took = step_seconds(running, job)
        running.stop()
    settled = sorted(delay for reader in readers[stopped:] for delay in reader.delays[len(reader.delays) // 5:])
    print(f"B3 {count} readers of whom {stopped} do not read: p50 {statistics.median(settled):.1f} ms  "
          f"p99 {settled[int(len(settled) * 0.99)]:.1f} ms  {cores:.2f} cores; the step took {took:.2f} s", flush=True)


def measure(danube, bench):
    for count in sorted({1, READERS}):
        tells(danube, bench, count)
    mixed(danube, bench, 500, 100)
    pours(danube, bench, 100)
