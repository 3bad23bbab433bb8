"""Says why a network camera can't be reached."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

from edge import hints
from edge.errors import UnavailableError

if TYPE_CHECKING:
    from edge.camera.address import CameraAddress


def unreachable(address: CameraAddress, error: OSError, timeout_s: float) -> UnavailableError:
    """The error for a connection that failed, or that ended while the camera was asked.

    Args:
        address: of the camera.
        error: what the system says.
        timeout_s: s, how long we waited.
    """
    # The sandbox of the service lets it reach the address that the installer found, and no other.
    again = f"; after a change of camera.source, run {hints.installer()}" if hints.on_device() else ""
    name = f"camera {address}"
    if isinstance(error, socket.gaierror):
        return UnavailableError(f"{name}: no such name in this network: check the host in camera.source{again}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"{name} has a certificate that this system does not trust ({error.verify_message}): add its authority to "
            "those of the system, or write http:// in camera.source"
        )
    if isinstance(error, ssl.SSLError):
        return UnavailableError(f"{name} does not speak TLS: check scheme and port in camera.source")
    if isinstance(error, TimeoutError):
        return UnavailableError(
            f"{name} does not answer within {timeout_s:g} s: is it switched on, and in this network?{again}"
        )
    if isinstance(error, ConnectionRefusedError):
        return UnavailableError(
            f"{name} refuses the connection: check the port in camera.source, and that the camera's stream is enabled"
        )
    reason = os.strerror(error.errno) if error.errno else "the connection was closed"
    return UnavailableError(f"{name} cannot be reached: {reason}{again}")
