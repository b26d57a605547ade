"""Runs in a pod: tries connections, says of each whether it came about. Standard library only; the answer is the pod's last
word, which its status carries, so that nobody needs a right to read logs."""

import concurrent.futures
import json
import socket
import ssl
import sys

PATIENCE = 4
QUESTION = b"\x5a\x5a\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"


def tcp(host, port):
    socket.create_connection((host, port), PATIENCE).close()


def tls(host, port, name):
    """As far as the server's certificate, whoever signed it: whether somebody answers to that name is all that counts."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), PATIENCE) as plain:
        context.wrap_socket(plain, server_hostname=name).close()


def udp_dns(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(PATIENCE)
        asker.sendto(QUESTION, (host, port))
        asker.recv(512)


def attempt(wanted):
    try:
        {"tcp": tcp, "tls": tls, "dns": udp_dns}[wanted["how"]](*wanted["to"])
    except OSError as error:
        return {"id": wanted["id"], "open": False, "said": str(error)[:60]}
    return {"id": wanted["id"], "open": True, "said": ""}


def serve(port):
    """The other pod: takes connections, says nothing."""
    with socket.create_server(("", port)) as server:
        while True:
            server.accept()[0].close()


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
wanted = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(wanted)) as beside:
    found = list(beside.map(attempt, wanted))
with open("/dev/termination-log", "w") as last:
    json.dump(found, last, separators=(",", ":"))
