"""Mail: what a person is told by email, and the way to the mail server."""

from __future__ import annotations

from approvals.integrations.email.channel import EmailChannel

__all__ = ["EmailChannel"]
