"""Lines for the log about the connection to the broker. Pure: what happened in, a line out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.mqtt.reconnect import LEFT_OUT_S, TAKEN_OVER_PAUSE_S, Notice

if TYPE_CHECKING:
    from edge.mqtt.address import BrokerAddress
    from edge.mqtt.reasons import DisconnectReason


def line(
    notice: Notice, reason: DisconnectReason, address: BrokerAddress, *, client_id: str, retry_max_s: float
) -> str:
    """The line about the end of a connection.

    Args:
        notice: what is to be said.
        reason: why the connection ended.
        address: the broker.
        client_id: ours.
        retry_max_s: longest pause between two attempts.
    """
    under_way = "" if reason.under_way is None else f" while {reason.under_way.line}"
    if notice is Notice.REFUSED:
        return f"{address} refuses {address.user} ({reason.text}); trying again now and then"
    if notice is Notice.TAKEN_OVER:
        return (
            f"another client connects to {address} as {client_id}: each device needs a device.name of "
            f"its own; trying again in {TAKEN_OVER_PAUSE_S:.0f} s"
        )
    if notice is Notice.LEFT_OUT:
        return (
            f"{address} ends each connection{under_way} ({reason.text}), so this is left out for "
            f"{LEFT_OUT_S / 60:.0f} min: check the access list of the broker, and its limit of the packet size"
        )
    return (
        f"no connection to the broker {address} ({reason.text}{under_way}); trying again, with pauses of up to "
        f"{retry_max_s:g} s"
    )


def too_large(address: BrokerAddress, path: str, size: int, packet_max: int) -> str:
    """The line about a message that is larger than the broker announces to take; sizes in bytes."""
    return (
        f"{address} takes packets of at most {packet_max:,} bytes, so {path} with {size:,} bytes is left out: raise "
        "that limit of the broker (mosquitto: max_packet_size)"
    )
