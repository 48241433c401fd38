"""The one place where bytes from outside become a public key.

Libraries accept keys that must not be trusted. Under a point of small order anybody can sign
anything. A second encoding of a key gives one key two names. Some strings are no point at all.
Every reader of keys (a bundle, a JWK Set, a COSE_Key, a log's or witness's verifier key) gets its
key here, and every refusal is a `ValueError` that says what is wrong.

Follows RFC 8032 section 5.1.3 (decoding, strictly: y < p), FIPS 186-5 and RFC 8017. A point with a
component of small order beside a large one is taken: only who made the key can sign under it.
"""

from __future__ import annotations

import math
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

COORDINATE_BYTES: Final = 32
RSA_BITS: Final = range(2048, 8193)
RSA_EXPONENT: Final = 65_537

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SIGN_BIT: Final = 1 << 255
# The y of the eight points of small order on edwards25519: of order 1, 2 and 4, and twice 8.
_SMALL_ORDER_Y: Final = frozenset(
    {1, _P - 1, 0}
    | {
        int.from_bytes(bytes.fromhex(y), "little")
        for y in (
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        )
    }
)
_SMALL_PRIMES: Final = math.prod(n for n in range(3, 2000) if all(n % k for k in range(2, n)))


def ed25519_key(raw: bytes) -> ed25519.Ed25519PublicKey:
    """The Ed25519 key of 32 bytes.

    Raises:
        ValueError: a wrong length, not the one encoding of a point, or a point of small order.
    """
    if len(raw) != COORDINATE_BYTES:
        raise ValueError(f"an Ed25519 key is {COORDINATE_BYTES} bytes")
    number = int.from_bytes(raw, "little")
    y = number & ~_SIGN_BIT
    if y >= _P:
        raise ValueError("the key is not the one encoding of its point")
    # x^2 = (y^2 - 1) / (d y^2 + 1); the divisor is never zero, because -1/d is no square.
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if x_squared == 0 and number & _SIGN_BIT:
        raise ValueError("the key is not the one encoding of its point")
    if pow(x_squared, (_P - 1) // 2, _P) > 1:
        raise ValueError("the key's point is not on its curve")
    # Whoever registers one can have anybody sign anything for them, and later deny all of it.
    if y in _SMALL_ORDER_Y:
        raise ValueError("the key is a point of small order, under which anybody can sign")
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def p256_key(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key with these coordinates of 32 bytes.

    Raises:
        ValueError: a wrong length, a coordinate out of range, or a point that is not on the curve.
    """
    if len(x) != COORDINATE_BYTES or len(y) != COORDINATE_BYTES:
        raise ValueError(f"a coordinate of a P-256 key is {COORDINATE_BYTES} bytes")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1())
    try:
        return numbers.public_key()
    except ValueError as error:
        raise ValueError("the key's point is not on its curve") from error


def rsa_key(modulus: bytes, exponent: bytes) -> rsa.RSAPublicKey:
    """The RSA key with this modulus and exponent, each written without leading zeros.

    Raises:
        ValueError: not 2048 to 8192 bits, not the exponent 65537, or a modulus that anybody can
            factor.
    """
    n = int.from_bytes(modulus)
    if not modulus or modulus[0] == 0 or n.bit_length() not in RSA_BITS:
        raise ValueError("an RSA key has 2048 to 8192 bits")
    if exponent != RSA_EXPONENT.to_bytes(3):
        raise ValueError(f"the exponent of an RSA key is {RSA_EXPONENT}")
    if n % 2 == 0 or math.gcd(n, _SMALL_PRIMES) != 1 or math.isqrt(n) ** 2 == n:
        raise ValueError("the modulus of this RSA key can be factored by anybody")
    return rsa.RSAPublicNumbers(RSA_EXPONENT, n).public_key()
