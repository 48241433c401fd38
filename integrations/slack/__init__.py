"""Slack: people hear of requests in their direct messages, and answer there as far as it is safe.

`SlackChannel` delivers notices. `mount` adds the routes that Slack calls, `SlackSocket` is the
other way round: either serves, both may. What holds: a click decides for the person who linked the
account while signed in with a passkey, and approves only where the rule is content with that.
"""

from __future__ import annotations

from approvals.integrations.slack.callbacks import mount
from approvals.integrations.slack.channel import SlackChannel
from approvals.integrations.slack.socket import SlackSocket

__all__ = ["SlackChannel", "SlackSocket", "mount"]
