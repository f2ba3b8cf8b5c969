"""The sockets under the C-STORE SCP: every connection bounded in time and size, before and after its handshake."""

import logging
import ssl
from io import BytesIO
from socket import socket
from socketserver import BaseServer
from typing import Any

from pynetdicom import evt
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from radserve_server.intake.configuration import TlsTable

_LOG = logging.getLogger(__name__)
_MOST_OF_A_PDU = 2**20
_MOST_WAITING = 4  # messages; a peer must wait for each answer before it sends the next (PS3.7 annex D.3.3.3)
_CHUNK = 2**16


class AssociationServer(ThreadedAssociationServer):
    """Accepts connections; the TLS handshake of one cannot hold up the others."""

    daemon_threads = True

    def get_request(self) -> tuple[socket, Any]:
        """A connection, which ends after the network timeout's silence."""
        client, address = self.socket.accept()  # type: ignore[union-attr]
        client.settimeout(self.ae.network_timeout)
        if self.ssl_context is not None:
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close what is too much at once, before it costs threads."""
        return len(self.active_associations) <= self.ae.maximum_associations

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread."""
        try:
            if isinstance(request, ssl.SSLSocket):
                request.settimeout(self.ae.acse_timeout)
                request.do_handshake()
                request.settimeout(self.ae.network_timeout)
        except OSError as error:
            _LOG.warning("a peer's TLS handshake failed: %s", getattr(error, "reason", None) or "no answer")
            self.shutdown_request(request)
            return
        super().process_request_thread(request, client_address)

    def service_actions(self) -> None:
        """Not pynetdicom's: it collects the whole process's garbage, which stops the event loop."""

    def shutdown(self) -> None:
        """Stop accepting, and end what is open."""
        BaseServer.shutdown(self)
        self.server_close()
        for association in self.active_associations:
            if association.is_established:
                association.abort()
            elif (
                association.dul.socket is not None
            ):  # who has not said a word cannot be told (PS3.8 9.2, Sta2)
                association.dul.socket.close()


class _PduReader:
    """Reads a PDU's bytes off the socket, unless it claims to be larger than any that was agreed on."""

    def __init__(self, wrapped: AssociationSocket, max_pdu: int) -> None:
        self._wrapped = wrapped
        self._most = max(max_pdu, _MOST_OF_A_PDU)

    def recv(self, nr_bytes: int) -> bytearray:
        """As many bytes, or fewer where the connection ends; raises OSError."""
        client = self._wrapped.socket
        size = nr_bytes
        if size > self._most or client is None:
            raise OSError(f"a PDU claims to have {size:,} bytes")
        received = bytearray()
        while len(received) < size and (piece := client.recv(min(size - len(received), _CHUNK))):
            received += piece
        return received


class Overflow(BytesIO):
    """In place of a data set that is over the limit: takes what still comes, and keeps nothing."""

    def write(self, data: Any) -> int:
        """Only counts."""
        return len(data)


def bound_connection(event: evt.Event, max_pdu: int) -> None:
    """At EVT_CONN_OPEN, before the first PDU."""
    wrapped = event.assoc.dul.socket
    if isinstance(wrapped, AssociationSocket):
        wrapped.recv = _PduReader(wrapped, max_pdu).recv  # type: ignore[method-assign]


def bound_message(event: evt.Event, max_bytes: int) -> None:
    """At EVT_PDU_RECV: pynetdicom gathers a message in memory, however large."""
    dimse = event.assoc.dimse
    if dimse.msg_queue.qsize() > _MOST_WAITING:
        event.assoc.abort()
    message: DIMSEMessage | None = dimse.message
    if message is None or not isinstance(message.data_set, BytesIO):
        return
    if message.data_set.tell() > max_bytes or message.encoded_command_set.tell() > _MOST_OF_A_PDU:
        message.data_set = Overflow()


def open_tls(table: TlsTable) -> ssl.SSLContext:
    """TLS 1.2 or newer (BCP 195, PS3.15 B.9 and following); raises ValueError naming the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(table.certificate, table.key)
    except OSError:
        raise ValueError(f"{table.certificate} and {table.key} are no certificate and its key") from None
    if table.authority is not None:
        try:
            context.load_verify_locations(table.authority)
        except OSError:
            raise ValueError(f"{table.authority} holds no certificate of an authority") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
