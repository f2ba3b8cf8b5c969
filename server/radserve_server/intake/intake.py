"""All that takes instances in, as one part that starts and stops with the server."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from radserve_server.admission import Admission
from radserve_server.audit import AuditLog
from radserve_server.errors import NotFound
from radserve_server.intake.configuration import IntakeFile, read_intake_file
from radserve_server.intake.listener import Listener
from radserve_server.intake.pushes import Reception
from radserve_server.intake.rules import Rule
from radserve_server.intake.spool import Spool
from radserve_server.intake.standing import Ask, StandingQuestions
from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import INTAKE, Archives
from radserve_server.settings import Settings

_LOG = logging.getLogger(__name__)


class Intake:
    """Nothing is taken in unless an intake file is set; raises ValueError naming what is wrong in it."""

    def __init__(self, settings: Settings, admission: Admission, metrics: Metrics, audit: AuditLog) -> None:
        is_set = settings.intake_file is not None
        file = (
            IntakeFile(stow=False) if settings.intake_file is None else read_intake_file(settings.intake_file)
        )
        self._takes_stow = file.stow
        self._spool = Spool(file.spool, note_loss=self._note_loss)
        rules = [Rule.compile(table) for table in file.rules]
        self._standing = StandingQuestions(rules, file.standing, self._spool, admission, metrics)
        self._reception = Reception(
            self._spool,
            file.limits,
            metrics,
            self._standing.note_growth,
            self._standing.note_release,
        )
        self._forget: Callable[[], object] = lambda: None
        self._listener = None
        if file.listener is not None:
            self._listener = Listener(file.listener, file.peers, self._reception, audit)
        self._is_set = is_set
        self._forgets_answers = bool(rules) and settings.answer_ttl_s < file.spool.ttl_s

    @property
    def port(self) -> int:
        """Of the C-STORE SCP, once it listens; 0 without one."""
        return 0 if self._listener is None else self._listener.port

    @property
    def bytes(self) -> int:
        """How much is kept."""
        return self._spool.bytes

    @property
    def questions_waiting(self) -> int:
        """Standing questions that are still to be asked."""
        return self._standing.count_waiting()

    def count_waiting(self, study: str) -> int:
        """Standing questions that are still to be asked of a study."""
        return self._standing.count_waiting(study)

    def open_stow(self) -> Reception:
        """Where STOW-RS hands over what it gets; raises NotFound where nothing may be pushed so."""
        if not self._takes_stow:
            message = "nothing may be pushed here by STOW-RS: RADSERVE_INTAKE_FILE would say so"
            raise NotFound(message, code="intake_off")
        return self._reception

    def add_to(self, archives: Archives) -> Archives:
        """The archives, and what is pushed here; raises ValueError if one has its name."""
        if not self._is_set:
            return archives
        if INTAKE in archives.by_name:
            raise ValueError(f"a PACS is called {INTAKE}, which is the name of what is pushed here")
        return Archives({**archives.by_name, INTAKE: self._spool})

    async def start(self, ask: Ask, forget: Callable[[], None]) -> None:
        """Listen, and ask standing questions; `forget` what was rendered when an image goes, or comes anew."""
        if not self._is_set:
            return
        if self._forgets_answers:
            _LOG.warning(
                "answers to standing questions go before their studies do: set RADSERVE_ANSWER_TTL_S"
            )
        self._spool.open()
        self._forget = partial(asyncio.get_running_loop().call_soon_threadsafe, forget)
        self._standing.start(ask)
        if self._listener is not None:
            self._listener.start()

    async def stop(self) -> None:
        """Stop listening, and forget what came."""
        if self._listener is not None:
            await asyncio.to_thread(self._listener.stop)
        await self._standing.stop()
        await self._spool.close()

    def _note_loss(self) -> None:
        self._forget()
