"""amqtt as a broker for trying things out, where mosquitto is not installed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import warnings
from typing import Any

from edge import hints
from edge.errors import UnavailableError


def serve(port: int) -> None:
    """Run the broker on loopback until standard input ends.

    Raises:
        UnavailableError: amqtt is not installed, or the port is taken.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        from amqtt.broker import Broker
        from amqtt.errors import BrokerError
    except ImportError:
        raise UnavailableError(f"amqtt is missing: {hints.install('broker')}") from None

    class OwnRetained(Broker):  # type: ignore[misc,unused-ignore]
        """amqtt 0.12 sends a client that connects what is retained on the topics of all others."""

        async def _handle_client_session(self, reader: Any, writer: Any, client_session: Any, *rest: Any) -> None:
            client_session.subscribes = False
            await super()._handle_client_session(reader, writer, client_session, *rest)

        async def _client_message_loop(self, client_session: Any, handler: Any) -> None:
            client_session.subscribes = True
            await super()._client_message_loop(client_session, handler)

        async def _publish_retained_messages_for_subscription(self, subscription: Any, session: Any) -> None:
            if session.subscribes:
                await super()._publish_retained_messages_for_subscription(subscription, session)

    async def run() -> None:
        broker = OwnRetained(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        try:
            await broker.start()
        except (BrokerError, OSError) as error:
            raise UnavailableError(f"the broker cannot start on port {port}: {error}") from None
        await asyncio.to_thread(sys.stdin.buffer.read)
        with contextlib.suppress(Exception):  # the process ends anyway
            await asyncio.wait_for(broker.shutdown(), 2)

    asyncio.run(run())
