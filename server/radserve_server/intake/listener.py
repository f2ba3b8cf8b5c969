"""The C-STORE SCP (PS3.4 annex B) and its C-ECHO: who may associate, and what becomes of what they send."""

import ipaddress
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import pydicom.config
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_context, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext

from radserve_imaging.syntaxes import DECODED, EXPLICIT_LITTLE
from radserve_server.audit import AuditLog
from radserve_server.errors import InstanceRefused
from radserve_server.intake.association import (
    AssociationServer,
    Overflow,
    bound_connection,
    bound_message,
    open_tls,
)
from radserve_server.intake.configuration import ListenerTable, PeerTable
from radserve_server.intake.instances import NOT_UNDERSTOOD
from radserve_server.intake.pushes import Push, Reception, refuse_size

_LOG = logging.getLogger(__name__)
_VERIFICATION = "1.2.840.10008.1.1"
_STORAGE = frozenset(str(context.abstract_syntax) for context in AllStoragePresentationContexts)
_POLL_S = 0.1
_UNINTRODUCED = 16  # connections that have not said who they are
_SUCCESS, _PROCESSING_FAILURE = 0x0000, 0x0110  # PS3.7 annex C


@dataclass(frozen=True, slots=True)
class _Rejection:
    """Why an association is not accepted: our word, and result, source and reason of PS3.8 9.3.4."""

    outcome: str
    reason: tuple[int, int, int]


_UNKNOWN_CALLER = _Rejection("calling_ae_title_not_recognised", (1, 1, 3))
_WRONG_CALLED = _Rejection("called_ae_title_not_recognised", (1, 1, 7))
_TOO_MANY = _Rejection("too_many_associations", (2, 3, 2))


class Listener:
    """Runs in threads of its own; `start` it, `stop` it."""

    def __init__(
        self, table: ListenerTable, peers: Iterable[PeerTable], reception: Reception, audit: AuditLog
    ) -> None:
        self._table = table
        self._peers = tuple(peers)
        self._reception = reception
        self._audit = audit
        self._tls = None if table.tls is None else open_tls(table.tls)
        self._server: AssociationServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def start(self) -> None:
        """Listen; raises ValueError naming the address that cannot be had."""
        _silence_libraries()
        address = (self._table.host, self._table.port)
        try:
            server = AssociationServer(
                self._entity(),
                address,
                self._table.ae_title,
                [build_context(_VERIFICATION)],  # storage is offered once the caller is known
                self._tls,
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, bound_connection, [self._table.max_pdu]),
                    (evt.EVT_PDU_RECV, bound_message, [self._reception.limits.instance_bytes]),
                    (evt.EVT_REQUESTED, self._judge),
                ],
            )
        except OSError as error:
            raise ValueError(
                f"the intake cannot listen on {address[0]}:{address[1]}: {error.strerror}"
            ) from None
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL_S,), name="intake", daemon=True
        )
        self._thread.start()
        _LOG.info("C-STORE SCP listens on %s:%d", address[0], self.port)

    def stop(self) -> None:
        """Abort what is open, and stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server = self._thread = None

    def _entity(self) -> AE:
        table = self._table
        entity = AE(table.ae_title)
        entity.maximum_pdu_size = table.max_pdu
        entity.maximum_associations = table.max_associations + _UNINTRODUCED
        entity.acse_timeout = table.acse_timeout_s
        entity.network_timeout = entity.dimse_timeout = table.network_timeout_s
        # `_judge` says the same and more: this holds should it ever fail.
        entity.require_called_aet = True
        entity.require_calling_aet = [peer.ae_title for peer in self._peers]
        return entity

    def _judge(self, event: evt.Event) -> None:
        """At EVT_REQUESTED, in the association's thread."""
        association = event.assoc
        asked = association.requestor.primitive
        if asked is None:
            return
        caller, called = str(asked.calling_ae_title).strip(), str(asked.called_ae_title).strip()
        address = str(association.requestor.address)
        rejection = self._find_rejection(caller, called, address)
        outcome = "accepted" if rejection is None else rejection.outcome
        self._reception.metrics.intake_associations.labels(outcome).inc()
        self._audit.note("association", f"ae:{caller}", address=address, outcome=outcome)
        if rejection is not None:
            association.acse.send_reject(*rejection.reason)
            association.kill()
            return
        push = self._reception.begin(caller)
        association.acceptor.supported_contexts = _offer(asked.presentation_context_definition_list)
        association.bind(evt.EVT_C_STORE, self._store, [push])
        association.bind(evt.EVT_RELEASED, self._end, [push])
        association.bind(evt.EVT_ABORTED, self._end, [push])

    def _find_rejection(self, caller: str, called: str, address: str) -> _Rejection | None:
        if not any(peer.ae_title == caller and _is_from(peer, address) for peer in self._peers):
            return _UNKNOWN_CALLER
        if called != self._table.ae_title:
            return _WRONG_CALLED
        known = () if self._server is None else self._server.active_associations
        accepted = sum(association.is_established for association in known)
        return _TOO_MANY if accepted >= self._table.max_associations else None

    def _store(self, event: evt.Event, push: Push) -> int | Dataset:
        """The bytes as they came become the file: nothing is encoded anew."""
        request = event.request
        if not isinstance(request, C_STORE):
            return NOT_UNDERSTOOD
        try:
            if isinstance(request.DataSet, Overflow):
                error = refuse_size(self._reception.limits.instance_bytes)
                push.refuse(error)
                raise error
            announced = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
            push.take(event.encoded_dataset(), sop=announced)
        except InstanceRefused as error:
            status = Dataset()
            status.Status, status.ErrorComment = error.status_code, error.message[:64]
            return status
        except Exception:  # the thread's edge: pynetdicom would say it to its own log only
            _LOG.exception("an instance could not be taken in")
            return _PROCESSING_FAILURE
        return _SUCCESS

    def _end(self, event: evt.Event, push: Push) -> None:
        self._reception.note_end(push)
        self._audit.note("push", f"ae:{push.sender}", stored=push.stored, refused=push.refused)


def _is_from(peer: PeerTable, address: str) -> bool:
    if peer.address is None:
        return True
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:  # on a socket for both
        found = found.ipv4_mapped
    return found in ipaddress.ip_network(peer.address)


def _offer(wanted: Iterable[PresentationContext]) -> list[PresentationContext]:
    """What is accepted of what a peer proposes; where it gives a choice of transfer syntaxes, in its own order.

    pynetdicom takes the acceptor's first; a peer that can send an image as it is says that first.
    """
    orders: dict[str, dict[str, None]] = {}
    for context in wanted:
        if context.abstract_syntax in _STORAGE:
            order = orders.setdefault(str(context.abstract_syntax), {})
            order.update(dict.fromkeys(str(syntax) for syntax in context.transfer_syntax))
    storage = [
        build_context(uid, [syntax for syntax in order if syntax in DECODED] or [EXPLICIT_LITTLE])
        for uid, order in orders.items()
    ]
    return [build_context(_VERIFICATION), *storage]


def _silence_libraries() -> None:
    """pynetdicom and pydicom write UIDs and values into logs and warnings; what matters is counted here."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    _config.LOG_HANDLER_LEVEL = "none"
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
