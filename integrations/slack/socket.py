"""Socket Mode: Slack's interactions over a connection that the service itself opens.

The connection is authenticated by the app's token and TLS, so nothing is signed; each envelope is
taken once, by whichever process. It is acknowledged after it was dealt with: where the service
cannot answer it is not, and Slack tells the person that it did not work.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from http.client import HTTPException
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any, Final

import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.connection import ConnectionState
from slack_sdk.socket_mode.response import SocketModeResponse

from approvals.core.addresses import urls
from approvals.core.errors import AssentError, Unauthenticated
from approvals.flow.deciding import clicks
from approvals.integrations.slack import ids
from approvals.integrations.slack.client import quiet, web_client
from approvals.integrations.slack.interactions import Answer, Interactions
from approvals.integrations.slack.signature import once_digest, refused

if TYPE_CHECKING:
    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

    from approvals.flow.service import Service

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0

_log = structlog.get_logger(__name__)


class SlackSocket:
    """A connection to Slack for interactions, opened again whenever it ends."""

    def __init__(self, service: Service) -> None:
        """Prepare; `start` connects. Needs `slack_app_token` and `slack_bot_token`."""
        settings = service.settings
        if settings.slack_app_token is None or settings.slack_bot_token is None:
            raise AssentError("Socket Mode needs an app token and a bot token", code="config")
        self._service = service
        web = web_client(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
        self._interactions = Interactions(service, web)
        self._client = _Client(
            app_token=settings.slack_app_token.get_secret_value(),
            web_client=web,
            api_url=settings.slack_api_url,
        )
        self._client.socket_mode_request_listeners.append(self._taken)
        self._stopping = threading.Event()
        self._connecting = threading.Thread(
            target=self._connect, name="assent-slack-socket", daemon=True
        )

    def start(self) -> None:
        """Connect, in a thread of its own: that Slack is away does not stop the service."""
        self._connecting.start()

    def stop(self) -> None:
        """Close the connection."""
        self._stopping.set()
        if self._connecting.is_alive():
            self._connecting.join()
        self._client.hang_up()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._client.is_connected()

    def _connect(self) -> None:
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            try:
                self._client.connect()
            except SlackApiError as error:
                _log.warning("slack_socket", error=str(error.response.get("error")))
            except (OSError, HTTPException, SlackClientError) as error:
                _log.warning("slack_socket", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the attempts
                _log.error("slack_socket", error=type(error).__name__)
            else:
                if self._client.is_connected():
                    return  # from here on the SDK's own monitor keeps it open
            self._client.wss_uri = None
            self._stopping.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    def _taken(self, _client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """Deal with an envelope and acknowledge it."""
        try:
            answer = self._dealt_with(request)
        except Unauthenticated as error:
            _log.warning("slack_envelope", error=error.code)
            answer = Answer()
        except AssentError as error:
            # Not acknowledged: Slack tells the person that it did not work.
            _log.warning("slack_envelope", error=error.code)
            return
        body: dict[str, Any] | None = None if answer.body is None else dict(answer.body)
        self._client.send_socket_mode_response(SocketModeResponse(request.envelope_id, body))
        if answer.then is not None:
            answer.then()

    def _dealt_with(self, request: SocketModeRequest) -> Answer:
        envelope = request.envelope_id
        if not ids.ENVELOPE.fullmatch(envelope):
            raise refused()
        if request.type not in {"interactive", "slash_commands"}:
            return Answer()
        if not clicks.once(self._service, once_digest("envelope", envelope)):
            return Answer()
        if request.type == "interactive":
            return self._interactions.interaction(request.payload)
        return self._interactions.command(request.payload)


class _Over(ConnectionState):
    """The state of a session that has ended, whatever is said of it afterwards."""

    def __setattr__(self, name: str, value: object) -> None:
        """Stay as it is."""
        del value
        super().__setattr__(name, True)


class _Client(SocketModeClient):
    """The SDK's client, which connects to Slack's hosts alone and speaks plainly to none of them.

    The SDK connects to whatever address it is given, and without TLS where the port is not 443.
    """

    def __init__(self, *, api_url: str, **options: Any) -> None:
        self._api_url = api_url
        super().__init__(logger=quiet, proxy=None, **options)
        if not urls.read(api_url).is_tls:
            self.proxy = None

    def hang_up(self) -> None:
        """Close for good, without waiting for the SDK's reader, which holds its socket for 3 s."""
        self.auto_reconnect_enabled = False
        # The SDK's reader says that its session goes on when it begins, perhaps after this.
        reading, self.current_session_state = self.current_session_state, _Over()  # type: ignore[no-untyped-call]
        reading.terminated = True
        session = self.current_session
        open_socket = None if session is None else session.sock
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(SHUT_RDWR)
        self.close()

    def issue_new_wss_url(self) -> str:
        """An address for one connection, from Slack.

        Raises:
            SlackClientError: it leads elsewhere.
        """
        url = super().issue_new_wss_url()
        if not _is_known(url, urls.read(self._api_url)):
            raise SlackClientError("the connection is offered at an address that is not Slack's")
        return url


def _is_known(text: str, api: urls.Url) -> bool:
    """Whether a connection may be made there: to Slack's hosts, or to the counterpart's."""
    try:
        url = urls.read(text, schemes=("ws", "wss"))
    except urls.UrlError:
        return False
    if not api.is_tls:
        return not url.is_tls and url.authority == api.authority
    return (
        url.is_tls
        and url.port == urls.DEFAULT_PORTS["wss"]
        and f".{url.host}".endswith((".slack.com", f".{api.host}"))
    )
