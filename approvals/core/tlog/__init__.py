"""The log as auditors see it: a Merkle tree whose root is signed (RFC 6962, C2SP)."""
