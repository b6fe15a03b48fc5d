"""Bring a file from the web: over https alone, of bounded size, whole or not at all."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from edgeaudio.errors import InputError, UsageError

__all__ = ["fetch"]

_BLOCK = 256 * 1024
_TIMEOUT_S = 30.0


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - urllib calls it so
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if not _is_https(newurl):
            raise InputError(
                f"{req.full_url} sends on to {newurl}, which is not https",
                hint="Download the file by other means, check it, and give its path.",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, *, max_bytes: int, report: Callable[[int, int], None] | None = None) -> bytes:
    """Download a file into memory.

    Parameters
    ----------
    url : str
        An https address; so must be whatever it redirects to.
    max_bytes : int
        What is larger is refused, at the latest when so many bytes have come.
    report : callable, optional
        Told how many bytes have come, and of how many; only where the size is known.

    Raises
    ------
    UsageError
        If the address is not one of https.
    InputError
        If there is no such file, it is too large, or it did not come whole.
    """
    if not _is_https(url):
        raise UsageError(f"{url} is not an https address", hint="Give an https:// address, or a path.")
    opener = urllib.request.build_opener(_OnlyHttps())
    # Some hosts refuse Python's own name.
    request = urllib.request.Request(url, headers={"User-Agent": "edgeaudio"})  # noqa: S310 - https, see above
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return _receive(url, answer, max_bytes, report)
    except urllib.error.HTTPError as error:
        raise InputError(f"cannot download {url}: {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise InputError(f"cannot download {url}: {error.reason}") from error
    except (HTTPException, OSError, ValueError) as error:
        raise InputError(f"cannot download {url}: {error or type(error).__name__}") from error


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:  # brackets that do not match
        return False


def _receive(url: str, answer: Any, max_bytes: int, report: Callable[[int, int], None] | None) -> bytes:
    announced = answer.headers.get("Content-Length") or ""
    expected = int(announced) if announced.isdecimal() else None
    blocks: list[bytes] = []
    n_bytes = expected or 0
    while n_bytes <= max_bytes:
        block = answer.read(_BLOCK)
        blocks.append(block)
        n_bytes = sum(map(len, blocks))
        if report is not None and expected is not None:
            report(n_bytes, expected)
        if not block:
            break
    else:
        raise InputError(f"{url} is larger than the {max_bytes >> 20} MB allowed here")
    if expected is not None and n_bytes != expected:
        raise InputError(f"{url} broke off: {n_bytes} of {expected} bytes came", hint="Try again.")
    return b"".join(blocks)
