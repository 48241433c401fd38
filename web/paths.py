"""Where a page may send a browser next.

What holds: `local_path` gives a path on this origin, whatever it is given. An open redirect on a
sign-in page is how people are led from the real page to a copy of it.
"""

from urllib.parse import urlsplit

LONGEST = 512
ID = r"^[A-Za-z0-9_-]{1,64}$"
"""What an id in an address may look like: nothing that a database could stumble over (NUL)."""


def local_path(text: str | None) -> str:
    """`text` if a browser can only read it as a path of this origin, else `/`."""
    if (
        text is None
        or not text.startswith("/")
        # Browsers read // and /\ as the start of a host name.
        or text.startswith("//")
        or "\\" in text
        or len(text) > LONGEST
        or not text.isascii()
        or any(character <= " " or character == "\x7f" for character in text)
    ):
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc else text
