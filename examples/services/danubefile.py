"""A site is served while steps look at it: the server runs beside them, in a container of its own.

With an image from a registry it reads the same, and needs no command: service.start("nginx:1.29", ready=service.tcp(8080)).
"""

from danube import pipeline, service, step

SERVER = ["python3", "-m", "http.server", "--directory", "site", "--bind", "127.0.0.1", "8080"]


@pipeline(name="site", timeout="5m")
def site() -> None:
    with service.start("host", name="web", command=SERVER, ready=service.tcp(8080)) as web:
        url = f"http://{web.host}:8080"
        step.parallel(
            step.call(["python3", "look.py", f"{url}/", "<h1>Danube</h1>"], name="the first page"),
            step.call(["python3", "look.py", f"{url}/robots.txt", "User-agent: *"], name="robots"),
        )
