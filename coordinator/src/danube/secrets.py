"""Secrets of the job. Their values are masked in every log.

Prefer to hand a secret to the one step that needs it (`step.run(..., secrets=...)`): then it never enters the
danubefile's own memory.
"""

from __future__ import annotations

import os

from danube import _arguments, _mailbox
from danube._secret_file import SecretFile
from danube.errors import InfraError

__all__ = ["file", "get"]


def get(name: str) -> str:
    """Returns a secret's value.

    Args:
        name: The secret's name.

    Returns:
        The value, as it was stored.

    Raises:
        SecretNotFound: There is no such secret, or it is not for this job.
        NotInJob: This is no job.
        TypeError, ValueError: `name` is not a name.

    Example:
        token = secrets.get("NPM_TOKEN")
    """
    params = {"name": _arguments.secret_name(name)}
    value = _mailbox.call("secrets.get", params, os.urandom(16).hex()).get("value")
    if not isinstance(value, str):
        raise InfraError(f"the answer about the secret `{name}` has no value. This is Danube's fault: run again.")
    return value


def file(name: str) -> SecretFile:
    """Marks a secret that a step shall find in a file; the environment variable then has the file's path.

    A file cannot be seen in a process's environment, and is what most tools prefer for keys.

    Args:
        name: The secret's name.

    Returns:
        A mark for the `secrets=` of `step.run`.

    Raises:
        TypeError, ValueError: `name` is not a name.

    Example:
        step.run('ssh -i "$KEY" deploy@example.org', secrets={"KEY": secrets.file("DEPLOY_KEY")})
    """
    return SecretFile(_arguments.secret_name(name))
