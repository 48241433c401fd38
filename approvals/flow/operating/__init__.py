"""Operators open, repair and restore the service, and activate bundles."""
