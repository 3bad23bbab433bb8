"""A GStreamer RTSP server with a test picture. Runs with the system's Python, whose packages GStreamer's are.

It prints its port, then serves /stream until it is killed.
"""

from __future__ import annotations

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

SIZE = "video/x-raw,width={width},height={height},framerate=25/1"
ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96",
    "mjpeg": "video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--tcp-and-udp", action="store_true", help="let the client choose")
    parser.add_argument("--udp", action="store_true", help="refuse TCP")
    parser.add_argument("--audio", action="store_true", help="serve sound instead of a picture")
    parser.add_argument("--grow-after-ms", type=int, default=0, help="change the size of the picture")
    args = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    tcp, udp = GstRtsp.RTSPLowerTrans.TCP, GstRtsp.RTSPLowerTrans.UDP
    factory.set_protocols(tcp | udp if args.tcp_and_udp else udp if args.udp else tcp)
    picture = (
        f"videotestsrc is-live=true pattern=smpte ! capsfilter name=size caps={SIZE.format(width=320, height=240)}"
    )
    sound = "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8"
    factory.set_launch(f"( {sound if args.audio else f'{picture} ! {ENCODERS[args.codec]}'} )")
    if args.grow_after_ms:
        factory.connect("media-configure", lambda _, media: _grow(media, args.grow_after_ms))
    if args.user:
        _protect(server, factory, args)
    server.get_mount_points().add_factory("/stream", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _grow(media, after_ms: int) -> None:
    size = media.get_element().get_by_name("size")
    caps = Gst.Caps.from_string(SIZE.format(width=480, height=360))
    GLib.timeout_add(after_ms, lambda: size.set_property("caps", caps))


def _protect(server, factory, args) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if args.digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(args.user, args.password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(args.user, args.password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
