"""Which channels there are, by what is set: Slack and mail by their settings, webhooks always.

A channel whose library is not installed is a setting that cannot be met, and stops the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.errors import AssentError
from approvals.integrations.email.channel import EmailChannel
from approvals.integrations.webhook.channel import WebhookChannel

if TYPE_CHECKING:
    from fastapi import FastAPI

    from approvals.flow.service import Service
    from approvals.flow.telling.deliver import Channel
    from approvals.integrations.slack.socket import SlackSocket


def channels(service: Service) -> list[Channel]:
    """The channels that deliver."""
    settings = service.settings
    found: list[Channel] = [WebhookChannel(service)]
    if settings.smtp_host is not None:
        found.append(EmailChannel(settings))
    if settings.slack_bot_token is not None:
        _need_slack()
        from approvals.integrations.slack.channel import SlackChannel  # noqa: PLC0415 - an extra

        found.append(
            SlackChannel(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
        )
    return found


def mount(app: FastAPI, service: Service) -> None:
    """Add the routes that Slack calls, if its signing secret is set."""
    if service.settings.slack_signing_secret is not None:
        _need_slack()
        from approvals.integrations.slack import callbacks  # noqa: PLC0415 - an extra

        callbacks.mount(app, service)


def socket(service: Service) -> SlackSocket | None:
    """The connection over which Slack tells of interactions, if an app token is set."""
    if service.settings.slack_app_token is None:
        return None
    _need_slack()
    from approvals.integrations.slack.socket import SlackSocket  # noqa: PLC0415 - an extra

    return SlackSocket(service)


def _need_slack() -> None:
    try:
        import slack_sdk  # noqa: F401, PLC0415 - is it there?
    except ModuleNotFoundError as error:
        raise AssentError(
            "Slack is set but its library is not installed: install assent[slack]",
            code="config",
            place="ASSENT_SLACK_BOT_TOKEN",
        ) from error
