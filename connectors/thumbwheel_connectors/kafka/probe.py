"""Why no broker answers: a second look with plain sockets, for a message that says what to mend."""

import socket
import ssl
from contextlib import closing

from thumbwheel.errors import SourceError, ThumbwheelError, UnavailableError

__all__ = ["why_silent"]

_CONNECT_SECONDS = 1.0
# Under TLS 1.3 a server looks at the client's certificate when the client has already gone on.
_ALERT_SECONDS = 0.5
_ABOUT_CERTIFICATES = ("CERT", "UNKNOWN_CA", "HANDSHAKE_FAILURE")


class _CertificateError(Exception):
    """One side does not trust the other; the message says which, and what to mend."""


def why_silent(servers: str, protocol: str, context: ssl.SSLContext | None) -> ThumbwheelError:
    """Return the error for brokers that did not answer in time.

    Args:
        servers: HOST:PORT, several with commas between.
        protocol: The `security_protocol`.
        context: What TLS connections are made with, or None for plain ones.

    Returns:
        `SourceError` when it is about certificates, `UnavailableError` else.
    """
    reasons, is_about_certificates = [], False
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        try:
            reason = _look(host.strip("[]"), int(port), protocol, context)
        except _CertificateError as error:
            reason, is_about_certificates = str(error), True
        reasons.append(f"{server}: {reason}")
    what = "; ".join(reasons)
    if is_about_certificates:
        return SourceError(f"no secure connection to Kafka: {what}")
    return UnavailableError(f"no Kafka broker answers ({what}); start it or mend its address")


def _look(host: str, port: int, protocol: str, context: ssl.SSLContext | None) -> str:
    try:
        plain = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
    except OSError as error:
        return str(error.strerror or error)
    with closing(plain):
        if context is not None:
            try:
                if _closes_when_secure(plain, host, context):
                    return (
                        "it closes the connection as soon as it is secure; start the broker behind "
                        "it, or set the `ssl_certfile` and `ssl_keyfile` that it wants"
                    )
            except ssl.SSLCertVerificationError as error:
                raise _CertificateError(
                    f"its certificate is not trusted ({error.verify_message.rstrip('.')}); "
                    "mend `ssl_cafile`, or the host name in `bootstrap_servers`"
                ) from error
            except ssl.SSLError as error:
                if any(word in (error.reason or "") for word in _ABOUT_CERTIFICATES):
                    raise _CertificateError(
                        f"it refuses this client's certificate ({error.reason}); "
                        "set or mend `ssl_certfile` and `ssl_keyfile`"
                    ) from error
            except OSError:
                pass
    return (
        f"it takes connections, but does not answer {protocol}; "
        "check the port, `security_protocol` and the user"
    )


def _closes_when_secure(plain: socket.socket, host: str, context: ssl.SSLContext) -> bool:
    with context.wrap_socket(plain, server_hostname=host) as secure:
        secure.settimeout(_ALERT_SECONDS)
        return not secure.recv(1)
