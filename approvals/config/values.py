"""Reading the values of single settings: each function gives the value, or says what it must be."""

from __future__ import annotations

from ipaddress import ip_network

from approvals.core.addresses import urls
from approvals.core.addresses.mail import is_mailbox


def read_networks(text: str) -> str:
    """Addresses or networks, separated by commas, or `none`.

    Raises:
        ValueError: one of them is neither.
    """
    try:
        for each in listed(text):
            ip_network(each)
    except ValueError:
        raise ValueError("must be addresses or networks, separated by commas, or none") from None
    return text


def listed(text: str) -> tuple[str, ...]:
    """The parts of a list with commas; `none` and an empty list have no parts."""
    return () if text in {"", "none"} else tuple(part.strip() for part in text.split(","))


def read_host(host: str | None) -> str | None:
    """A host name in lower case, where there is one.

    Raises:
        ValueError: it is none.
    """
    if host is None:
        return None
    if not urls.is_host(host.lower()):
        raise ValueError("must be a host name")
    return host.lower()


def read_mailbox(address: str) -> str:
    """One plain mail address.

    Raises:
        ValueError: it is none.
    """
    if not is_mailbox(address):
        raise ValueError("must be one plain mail address")
    return address


def read_folder_url(url: str) -> str:
    """An https address, or http on this machine, that ends with a slash.

    Raises:
        ValueError: it is none.
    """
    if not urls.read(url).path.endswith("/"):
        raise ValueError("must end with a slash")
    return url
