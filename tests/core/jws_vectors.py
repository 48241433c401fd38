"""Make the vectors of refused tokens: `python tests/core/jws_vectors.py` writes the file.

The keys are derived from a sentence, so that everyone makes the same file and no private key is
kept in one.
"""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from approvals.core import b64, canonical
from approvals.core.jwk import SigningKey

FILE: Final = Path(__file__).parents[1] / "vectors" / "jws_invalid.json"
TYP: Final = "agent-approval+jwt"
PAYLOAD: Final = {"iss": "https://assent.example", "jti": "apr_1"}
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def private_jwk(name: str, alg: str = "ES256") -> dict[str, object]:
    """Derive a key that is the same for everyone, and therefore good for tests only."""
    secret = sha256(f"assent test key {name}".encode()).digest()
    if alg == "Ed25519":
        x = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": alg, "x": b64.encode(x), "d": b64.encode(secret)}
    public = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64.encode(point[1:33]),
        "y": b64.encode(point[33:]),
        "d": b64.encode(secret),
    }


ES: Final = SigningKey.from_jwk(private_jwk("one"))
ED: Final = SigningKey.from_jwk(private_jwk("two", "Ed25519"))
STRANGER: Final = SigningKey.from_jwk(private_jwk("three"))
JWKS: Final[dict[str, canonical.Json]] = {"keys": [ES.public_jwk(), ED.public_jwk()]}


def token(header: bytes | dict[str, Any], payload: bytes | None = None, by: SigningKey = ES) -> str:
    """Sign whatever is given as header and payload, whether it is allowed or not."""
    first = header if isinstance(header, bytes) else canonical.encode(header)
    second = canonical.encode(dict(PAYLOAD)) if payload is None else payload
    signed = f"{b64.encode(first)}.{b64.encode(second)}"
    return f"{signed}.{b64.encode(by.sign(signed.encode()))}"


def header(**changes: Any) -> dict[str, Any]:
    return {"alg": "ES256", "kid": ES.kid, "typ": TYP, **changes}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in header().items() if name not in names}


def sloppy(segment: str) -> str:
    """Set the unused bits of the last character, which decodes to the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


def build() -> dict[str, Any]:
    valid = token(header())
    first, second, third = valid.split(".")
    signature = b64.decode(third)
    r, s = signature[:32], signature[32:]
    zero, order = bytes(32), ORDER.to_bytes(32, "big")
    public = ES.public_jwk()
    none = b64.encode(canonical.encode(header(alg="none")))
    edwards = token(header(alg="Ed25519", kid=ED.kid), by=ED).split(".")
    pem = ES.verifying._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    hs256 = f"{b64.encode(canonical.encode(header(alg='HS256')))}.{second}"
    odd = next(
        made
        for count in range(3)
        if len((made := token(header(), b'{"a":"' + b"x" * count + b'"}')).split(".")[1]) % 4
    ).split(".")
    members = canonical.encode(header()).decode().rstrip("}")

    def resigned(raw: bytes) -> str:
        return f"{first}.{second}.{b64.encode(raw)}"

    def extra(text: str) -> str:
        return token(f"{members},{text}}}".encode())

    malformed = {
        "empty": "",
        "one part": first,
        "two parts": f"{first}.{second}",
        "four parts": f"{valid}.",
        "four parts, the last of them full": f"{valid}.{third}",
        "no header": f".{second}.{third}",
        "no payload (detached)": f"{first}..{third}",
        "no signature": f"{first}.{second}.",
        "padded header": f"{first}{'=' * (-len(first) % 4) or '='}.{second}.{third}",
        "padded signature": f"{valid}==",
        "space before": f" {valid}",
        "newline after": f"{valid}\n",
        "newline within": f"{first}.{second[:8]}\n{second[8:]}.{third}",
        "standard alphabet": f"{first}.{second}.{third[:-1]}+",
        "unused bits set in the signature": f"{first}.{second}.{sloppy(third)}",
        "unused bits set in the payload": f"{odd[0]}.{sloppy(odd[1])}.{odd[2]}",
        "impossible length": f"{first}.{second}.{third}AAA",
        "not ASCII": f"{first}.{second}.{third[:-1]}é",
        "flattened JSON serialization": json.dumps(
            {"protected": first, "payload": second, "signature": third}
        ),
        "general JSON serialization": json.dumps(
            {"payload": second, "signatures": [{"protected": first, "signature": third}]}
        ),
        "header is not JSON": token(b"alg"),
        "header is a list": token(b'["alg","kid","typ"]'),
        "header with byte order mark": token(b"\xef\xbb\xbf" + canonical.encode(header())),
        "header is not UTF-8": token(b'{"alg":"\xff"}'),
        "alg twice": token(f'{{"alg":"none",{members[1:]}}}'.encode()),
        "alg twice, once escaped": extra(r'"\u0061lg":"ES256"'),
        "kid twice": extra(f'"kid":"{ES.kid}"'),
        "typ twice": extra(f'"typ":"{TYP}"'),
        "crit empty": extra('"crit":[]'),
        "crit known to RFC 7797": extra('"b64":true,"crit":["b64"]'),
        "crit unknown": extra('"crit":["http://assent.example/x"]'),
        "b64 false": extra('"b64":false'),
        "jwk embedded": extra(f'"jwk":{json.dumps(public)}'),
        "jku": extra('"jku":"https://evil.example/jwks.json"'),
        "x5u": extra('"x5u":"https://evil.example/cert.pem"'),
        "x5c": extra('"x5c":[]'),
        "zip": extra('"zip":"DEF"'),
        "cty": extra('"cty":"JWT"'),
        "unknown member": extra('"foo":null'),
        "no alg": token(without("alg")),
        "no kid": token(without("kid")),
        "kid null": token(header(kid=None)),
        "kid a number": token(header(kid=1)),
        "alg a list": token(header(alg=["ES256"])),
        "typ null": token(header(typ=None)),
        "typ a list": token(header(typ=[TYP])),
        "alg none without signature": f"{none}.{second}.",
        "payload is not JSON": token(header(), b"approved"),
        "payload is a list": token(header(), b"[]"),
        "payload is cut off": token(header(), b'{"jti":"apr_1"'),
        "payload with a member twice": token(header(), b'{"jti":"apr_1","jti":"apr_2"}'),
        "payload with NaN": token(header(), b'{"exp":NaN}'),
        "payload with -0": token(header(), b'{"exp":-0}'),
        "payload is not UTF-8": token(header(), b'{"jti":"\xff"}'),
        "payload too deep": token(header(), b'{"a":' * 33 + b"1" + b"}" * 33),
    }
    typed = {
        "another type": token(header(typ="JWT")),
        "type in upper case": token(header(typ=TYP.upper())),
        "type with a prefix": token(header(typ=f"application/{TYP}")),
        "no type": token(without("typ")),
        "empty type": token(header(typ="")),
    }
    unknown = {
        "a stranger's key": token(header(kid=STRANGER.kid), by=STRANGER),
        "kid in lower case": token(header(kid=ES.kid.lower())),
        "kid empty": token(header(kid="")),
        "kid is a path": token(header(kid="../../dev/null")),
        "kid with space": token(header(kid=f"{ES.kid} ")),
    }
    algorithms = {
        **{
            f"alg {alg!r}": token(header(alg=alg))
            for alg in ("none", "None", "NONE", "es256", "ES384", "ES256K", "RS256", "EdDSA", "")
        },
        "alg of the other key": token(header(alg="Ed25519")),
        "kid of the other key": token(header(kid=ED.kid)),
        "EdDSA for Ed25519": token(header(alg="EdDSA", kid=ED.kid), by=ED),
        "HS256 under the public key": (
            f"{hs256}.{b64.encode(hmac.digest(pem, hs256.encode(), 'sha256'))}"
        ),
    }
    signatures = {
        "one byte short": resigned(signature[:-1]),
        "one byte long": resigned(signature + b"\x00"),
        "zero byte before each half": resigned(b"\x00" + r + b"\x00" + s),
        "DER": resigned(encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))),
        "all zero": resigned(zero + zero),
        "r zero": resigned(zero + s),
        "s zero": resigned(r + zero),
        "r is the order": resigned(order + s),
        "s is the order": resigned(r + order),
        "all ones": resigned(b"\xff" * 64),
        "halves exchanged": resigned(s + r),
        "one bit changed": resigned(bytes([signature[0] ^ 1]) + signature[1:]),
        "of another payload": f"{first}.{b64.encode(b'{}')}.{third}",
        "of another header": f"{b64.encode(canonical.encode(without('typ') | {'typ': TYP}) + b' ')}"
        f".{second}.{third}",
        "by another key": token(header(), by=STRANGER),
        "by another kind of key": token(header(), by=ED),
        "over the payload alone": resigned(ES.sign(second.encode())),
        "Ed25519, one byte short": ".".join(
            [*edwards[:2], b64.encode(b64.decode(edwards[2])[:-1])]
        ),
        "Ed25519, all zero": ".".join([*edwards[:2], b64.encode(bytes(64))]),
    }
    groups = {
        "malformed": malformed,
        "type": typed,
        "unknown_key": unknown,
        "algorithm": algorithms,
        "signature": signatures,
    }
    return {
        "about": "Tokens that a verifier of type `typ` with these keys refuses, and why.",
        "typ": TYP,
        "jwks": JWKS,
        "valid": [valid, ".".join(edwards)],
        "cases": [
            {"name": name, "token": made, "reason": reason}
            for reason, cases in groups.items()
            for name, made in cases.items()
        ],
    }


def text() -> str:
    return json.dumps(build(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
