"""Telling people: a change puts its notices in the outbox, and a worker delivers them."""
