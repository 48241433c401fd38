"""The address of a webhook: what a bundle may name and what is posted to.

An address in its plain form (`urls`) whose host is a name. An IP address would reach past names
into a network; the one that may be named is this machine, to try things out.
"""

from __future__ import annotations

from approvals.core.addresses import urls
from approvals.core.addresses.urls import Url, UrlError


def read(text: str) -> Url:
    """Read a hook's address.

    Raises:
        UrlError: it is not one, with what is wrong.
    """
    url = urls.read(text)
    if url.is_address and not url.is_loopback:
        raise UrlError("an address names its host; of IP addresses only this machine's is taken")
    return url
