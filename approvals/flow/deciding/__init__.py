"""A person reads a request and decides."""
