"""Use cases, a module a step. Each runs in one transaction and logs what it did in it."""
