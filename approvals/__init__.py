"""Assent: out-of-band human approval and step-up for AI agents."""
