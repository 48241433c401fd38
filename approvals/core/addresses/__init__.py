"""Addresses of people and services, each kind read by one reader."""
