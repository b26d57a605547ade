"""A client of the API server in a few lines: what bring-up and tests ask it costs them a millisecond, not a program's start."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from settings import Broken, Cluster


class Api:
    """Speaks as the administrator. One connection for each question; a watch keeps its own."""

    def __init__(self, cluster: Cluster) -> None:
        keys = cluster.certificates
        self._address = (cluster.address, 6443)
        self._trust = ssl.create_default_context(cafile=keys / "ca.crt")
        self._trust.load_cert_chain(keys / "admin.crt", keys / "admin.key")

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(*self._address, context=self._trust, timeout=timeout)

    def raw(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, bytes]:
        """The status and the bytes of the answer, whatever they are."""
        connection = self._connect(30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict:
        """The answer's content; any refusal is an error with the server's words."""
        status, said = self.raw(method, path, body, kind)
        if status >= 300:
            raise Broken(f"{method} {path}: {status} {said.decode(errors='replace')[:500]}")
        return json.loads(said)

    def ready(self) -> bool:
        """Whether the API server serves."""
        try:
            return self.raw("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def watch(self, path: str, field: str, patience: float = 120) -> Iterator[dict]:
        """Each state of the objects that a field selector names, as it comes; ends with an error when time is up."""
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            for event in self._events(path, field, left):
                # The server wants the watch to be begun anew, from the present state.
                if event["type"] == "ERROR":
                    break
                yield event["object"] if event["type"] != "DELETED" else {**event["object"], "deleted": True}
        raise Broken(f"{field} at {path} did not come to what was waited for in {patience:.0f} s")

    def _events(self, path: str, field: str, patience: float) -> Iterator[dict]:
        connection = self._connect(patience + 5)
        try:
            # From what the server has at hand. Without a version it wants to be as new as etcd, and with etcd 3.4, which does not tell
            # of its progress, that ends in an error after 3 s whenever nothing of this kind has changed of late.
            query = urlencode({"watch": "true", "fieldSelector": field, "timeoutSeconds": max(1, int(patience)), "resourceVersion": 0})
            connection.request("GET", f"{path}?{query}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise Broken(f"watching {path}: {answer.status} {answer.read(500)!r}")
            for line in answer:
                yield json.loads(line)
        finally:
            connection.close()
