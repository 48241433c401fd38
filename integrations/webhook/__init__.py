"""Webhooks: notices for anything else, signed, to registered hosts only."""

from __future__ import annotations

from approvals.integrations.webhook.channel import WebhookChannel

__all__ = ["WebhookChannel"]
