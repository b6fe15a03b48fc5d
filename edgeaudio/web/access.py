"""Who may see the page: addresses, tokens, the names and origins that requests come with."""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from edgeaudio.errors import UsageError

__all__ = ["DEFAULT_ADDRESS", "Access", "Address", "Refusal", "parse_address"]

DEFAULT_ADDRESS = "127.0.0.1:8765"
_SHORTEST_TOKEN = 16
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]*)(?::(?P<port>\d{1,5}))?")


class Address(NamedTuple):
    """Where the server listens; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return self.host == "localhost" or _is_loopback_number(self.host)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all addresses of this machine."""
        return _is_number(self.host) and ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Refusal(NamedTuple):
    """Why a request is not served: an HTTP status and a sentence."""

    status: int
    reason: str


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``, ``PORT``, ``localhost`` or an address in numbers; what is missing is the default.

    Raises
    ------
    UsageError
        If it is none of these.

    Examples
    --------
    >>> parse_address("0.0.0.0:9000")
    Address(host='0.0.0.0', port=9000)
    >>> parse_address("9000")
    Address(host='127.0.0.1', port=9000)
    """
    default_host, _, default_port = DEFAULT_ADDRESS.partition(":")
    if text.isascii() and text.isdigit():
        text = f":{text}"
    match = _AUTHORITY.fullmatch(text)
    port = int((match and match["port"]) or default_port)
    host = match["host"].strip("[]").lower() if match else ""
    # A name alone is no address: it may be a file that was meant as the source.
    named = bool(host) and host != "localhost" and not _is_number(host)
    if (
        match is None
        or port > 65535
        or (named and match["port"] is None)
        or (not host and match["port"] is None)
    ):
        raise UsageError(
            f"{text!r} is no address to serve the page on",
            hint=f"Write HOST:PORT, for example {DEFAULT_ADDRESS} or [::1]:8765.",
        )
    return Address(host or default_host, port)


@dataclass(frozen=True)
class Access:
    """Decides on requests by their headers, before anything else looks at them.

    Parameters
    ----------
    address : Address
        Where the server listens.
    token : str, optional
        What everybody must show, in ``?token=`` or as ``Authorization: Bearer``.

    Raises
    ------
    UsageError
        The address can be reached from elsewhere and there is no token, or the token is too short or
        not of printable ASCII characters.
    """

    address: Address
    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is None:
            if not self.address.is_loopback:
                raise UsageError(
                    f"{self.address.host} can be reached from other machines, and there is no token",
                    hint="Set one, or serve the page on 127.0.0.1.",
                )
        elif len(self.token) < _SHORTEST_TOKEN or not re.fullmatch(r"[!-~]+", self.token):
            raise UsageError(
                f"a token has at least {_SHORTEST_TOKEN} printable ASCII characters and no blanks",
                hint="Leave it out, and one is made for you.",
            )

    def refusal(self, headers: Mapping[str, str], query_token: str | None) -> Refusal | None:
        """Say why a request is refused, None if it is welcome.

        Parameters
        ----------
        headers : mapping
            With names in lower case.
        query_token : str, optional
            ``?token=`` of the address.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            return Refusal(421, "This server does not go by the name in the Host header.")
        origin = headers.get("origin")
        if origin is not None and not _same_origin(origin, host):
            return Refusal(403, "Pages from elsewhere may not connect.")
        if self.token is not None:
            scheme, _, credentials = headers.get("authorization", "").partition(" ")
            shown = query_token if query_token is not None else credentials.strip()
            if query_token is None and scheme.lower() != "bearer":
                shown = ""
            if not hmac.compare_digest(shown.encode(), self.token.encode()):
                return Refusal(401, "A valid token is needed: open the address that edgeaudio printed.")
        return None

    def _is_ours(self, authority: str) -> bool:
        """Whether a Host header can only mean this server.

        A page that had its own name resolved to this machine (DNS rebinding) comes with that name. An
        address in numbers cannot be rebound.
        """
        match = _AUTHORITY.fullmatch(authority)
        if match is None or not match["host"]:
            return False
        host = match["host"].strip("[]").lower().rstrip(".")
        if self.address.is_loopback:
            return host in ("localhost", self.address.host) or _is_loopback_number(host)
        own = socket.gethostname().lower()
        names = {"localhost", self.address.host, own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}
        return host in names or _is_number(host)


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback_number(host: str) -> bool:
    return _is_number(host) and ipaddress.ip_address(host).is_loopback
