"""What all routes share, made once by the app and found on it."""

import asyncio
from dataclasses import dataclass

from fastapi import Request

from radserve_server.admission import Admission
from radserve_server.answer_store import AnswerStore
from radserve_server.audit import AuditLog
from radserve_server.auth import Keyring
from radserve_server.backend import Backend
from radserve_server.engine_watch import EngineWatch
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.image_store import ImageStore
from radserve_server.intake.intake import Intake
from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import Archives
from radserve_server.pacs.configuration import open_archives
from radserve_server.rendering import Key, Renderer, Several
from radserve_server.reports.filed_reports import FiledReports
from radserve_server.series_store import SeriesStore
from radserve_server.settings import Settings
from radserve_server.worker_pool import WorkerLimits, WorkerPool
from radserve_server.worklist.worklist import Worklist

_SWEEP_S = 15.0
_SERIES_BYTES = 64 * 2**20
_FILED_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that a request passes through."""

    settings: Settings
    backend: Backend
    keyring: Keyring
    watch: EngineWatch
    admission: Admission
    pool: WorkerPool
    renderer: Renderer
    store: ImageStore
    series: SeriesStore
    archives: Archives
    answers: AnswerStore
    reports: FiledReports
    audit: AuditLog
    intake: Intake
    worklist: Worklist
    metrics: Metrics

    async def sweep(self) -> None:
        """Forget expired images for ever and ever, whether or not anybody asks for them."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.store.sweep()
            self.series.sweep()
            self.renderer.sweep()
            self.answers.sweep()
            self.reports.sweep()
            self.archives.sweep()


def build_services(settings: Settings, backend: Backend, archives: Archives | None = None) -> Services:
    """Join the parts by the settings; starts nothing."""
    metrics, audit = Metrics(), AuditLog(settings.audit_file)
    admission = Admission(settings.max_running, settings.max_waiting, settings.max_wait_s)
    intake = Intake(settings, admission, metrics, audit)
    pool = WorkerPool(
        WorkerLimits(
            settings.render_workers,
            settings.render_memory_bytes,
            settings.render_deadline_s,
            settings.render_queue_bytes,
        ),
        metrics,
    )
    cache: ExpiringCache[Key, Several] = ExpiringCache(
        settings.rendering_cache_bytes, settings.rendering_ttl_s
    )
    return Services(
        settings=settings,
        backend=backend,
        keyring=Keyring.load(settings.api_keys_file),
        watch=EngineWatch(
            backend,
            settings.probe_interval_s,
            settings.probe_deadline_s,
            allow_ungated=settings.allow_ungated,
        ),
        admission=admission,
        pool=pool,
        renderer=Renderer(pool, cache, settings.max_image_bytes),
        store=ImageStore(settings.image_store_bytes, settings.image_ttl_s),
        series=SeriesStore(_SERIES_BYTES, settings.image_ttl_s),
        archives=intake.add_to(open_archives(settings, metrics) if archives is None else archives),
        answers=AnswerStore(settings.answer_store_bytes, settings.answer_ttl_s),
        reports=FiledReports(_FILED_BYTES, settings.answer_ttl_s),
        audit=audit,
        intake=intake,
        worklist=Worklist(settings),
        metrics=metrics,
    )


def services_of(request: Request) -> Services:
    """The app's services."""
    services: Services = request.app.state.services
    return services
