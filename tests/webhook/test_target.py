"""Where a webhook may go: every way to write an address that is not one is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.integrations.webhook.target import HookRefused, check_address, target

REFUSED = (
    "",
    "https://",
    "hooks.example/x",
    "//hooks.example/x",
    "ftp://hooks.example/",
    "file:///etc/passwd",
    "gopher://hooks.example/",
    "HTTPS://hooks.example/",
    "http://hooks.example/",
    "http://hooks.example:443/",
    # addresses, however they are written
    "https://93.184.216.34/",
    "https://10.0.0.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://00/",
    "https://0x/",
    "https://1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://hooks.1/",
    "https://hooks.0x1/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fd00::1]/",
    "https://[2606:4700::1111]/",
    "https://::1/",
    "https://[::1/",
    "https://127.0.0.1.",
    # another host than the one that is read first
    "https://hooks.example@evil.example/",
    "https://user:password@hooks.example/",
    "https://hooks.example:443@evil.example/",
    "https://hooks.example\\@evil.example/",
    "https://hooks.example\\.evil.example/",
    "https://hooks.example#@evil.example/",
    "https://hooks.example/#x",
    "https://hooks.example?@evil.example/\\",
    "https:///hooks.example/",
    "https:\\\\hooks.example/",
    "https:/hooks.example/",
    "https://hooks.example/ HTTP/1.1\r\nHost: evil.example",
    "https://hooks.example/\r\nX: y",
    "https://hooks.example\t/",
    "https://hooks.example\n/",
    " https://hooks.example/",
    "https://hooks.example/ ",
    "https://hooks.exa\nmple/",
    "https://hooks.example/x\x00",
    # names that are none, or not in the one form that they have
    "https://hooks.example./",
    "https://.hooks.example/",
    "https://hooks..example/",
    "https://-hooks.example/",
    "https://hooks-.example/",
    "https://hooks_x.example/",
    "https://%68ooks.example/",
    "https://hooks.example%2eevil.example/",
    "https://HOOKS.example/",
    "https://hööks.example/",
    "https://hооks.example/",  # noqa: RUF001 - Cyrillic
    "https://hooks。example/",
    "https://hooks．example/",  # noqa: RUF001
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/",  # fullwidth
    "https://\u2113ocalhost/",
    "https://hooks\u00ad.example/",
    "https://hooks\u200b.example/",
    "https://\u202ehooks.example/",
    f"https://{'a' * 64}.example/",
    f"https://{'.'.join(['a' * 60] * 5)}/",
    # ports
    "https://hooks.example:0/",
    "https://hooks.example:65536/",
    "https://hooks.example:99999999/",
    "https://hooks.example:-1/",
    "https://hooks.example:/",
    "https://hooks.example:4 43/",
    "https://hooks.example:https/",
    "https://hooks.example:443:443/",
    "https://hooks.example:\u0664\u0664\u0663/",
)


@pytest.mark.parametrize("number", range(len(REFUSED)))
@pytest.mark.parametrize("loopback", [False, True])
def test_what_is_not_the_one_plain_form_is_refused(number: int, loopback: bool) -> None:  # noqa: FBT001
    with pytest.raises(HookRefused) as caught:
        target(REFUSED[number], loopback=loopback)
    assert caught.value.code == "hook_url"


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://hooks.example", "hooks.example", 443, "/", "hooks.example"),
        ("https://hooks.example/a/b?c=d", "hooks.example", 443, "/a/b?c=d", "hooks.example"),
        ("https://hooks.example?c=d", "hooks.example", 443, "/?c=d", "hooks.example"),
        ("https://hooks.example:443/", "hooks.example", 443, "/", "hooks.example"),
        ("https://hooks.example:8443/%2e", "hooks.example", 8443, "/%2e", "hooks.example:8443"),
        ("https://xn--hks-sna.example/", "xn--hks-sna.example", 443, "/", "xn--hks-sna.example"),
        ("https://1.hooks.a1/", "1.hooks.a1", 443, "/", "1.hooks.a1"),
    ],
)
def test_plain_addresses_are_read_as_written(
    url: str, host: str, port: int, path: str, authority: str
) -> None:
    read = target(url, loopback=False)
    assert (read.host, read.port, read.target, read.authority) == (host, port, path, authority)
    assert read.is_tls
    assert not read.is_loopback


LOOPBACK = (
    "http://localhost:9/x",
    "https://localhost:9/x",
    "http://127.0.0.1:9/x",
    "http://127.0.0.2:9/x",
    "http://[::1]:9/x",
)


@pytest.mark.parametrize("url", LOOPBACK)
def test_this_machine_is_reached_only_from_a_service_on_it(url: str) -> None:
    assert target(url, loopback=True).is_loopback
    with pytest.raises(HookRefused) as caught:
        target(url, loopback=False)
    assert caught.value.code == "hook_url"


def test_an_ipv6_host_is_in_brackets_on_the_wire() -> None:
    read = target("http://[::1]:9/x", loopback=True)
    assert (read.host, read.authority) == ("::1", "[::1]:9")


NOT_PUBLIC = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"),  # noqa: S104
    *("127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.0.192", "192.0.2.1", "192.31.196.1"),
    *("192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "100.100.100.200", "168.63.129.16"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:1::1"),
    *("2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1"),
    *("2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%eth0", "fec0::1", "ff02::1", "2606:4700::1111%1"),
)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_never_reached(address: str) -> None:
    with pytest.raises(HookRefused) as caught:
        check_address(address, loopback=False)
    assert caught.value.code == "hook_address"


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700::1111"])
def test_public_addresses_are_reached(address: str) -> None:
    assert check_address(address, loopback=False) == address
    with pytest.raises(HookRefused):
        check_address(address, loopback=True)


@pytest.mark.parametrize(
    "address", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "", "localhost", "1.1.1.1 ", "[::1]"]
)
def test_a_resolver_that_answers_with_something_else_reaches_nothing(address: str) -> None:
    for loopback in (False, True):
        with pytest.raises(HookRefused):
            check_address(address, loopback=loopback)


@given(st.ip_addresses())
def test_nothing_is_reached_that_the_library_calls_private_or_that_carries_another(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """A second opinion."""
    try:
        check_address(str(address), loopback=False)
    except HookRefused:
        return
    assert address.is_global
    kinds = ("multicast", "loopback", "link_local", "reserved", "unspecified", "private")
    assert not any(getattr(address, f"is_{kind}") for kind in kinds)
    if isinstance(address, ipaddress.IPv6Address):
        carried = (address.ipv4_mapped, address.sixtofour, address.teredo)
        assert carried == (None, None, None)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1"])
def test_a_hook_on_this_machine_stays_on_it(address: str) -> None:
    assert check_address(address, loopback=True) == address
    for elsewhere in ("10.0.0.1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1"):  # noqa: S104
        with pytest.raises(HookRefused):
            check_address(elsewhere, loopback=True)
