"""Compares the live scores of every model in memory with its calibration, in the background."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from vaekit.runtime import Bound, Model
from vaekit.runtime.results import RowArrays
from vaekit_service.engine.jobs import Job
from vaekit_service.logs import Log
from vaekit_service.messages import Answer
from vaekit_service.model_health.held_out import Floats, Scores
from vaekit_service.model_health.waiting import WaitingRows
from vaekit_service.model_health.window import Figures, Window


class _ModelRows:
    """The rows of one model."""

    def __init__(self, waiting: WaitingRows) -> None:
        self.waiting = waiting  # for the next update
        self.window: Window | None = None  # made by the first update
        self.figures: Figures | None = None  # of the last update


class ModelHealth:
    """Keeps the scores of replies, and compares them with the calibration every `seconds`, in a thread.

    Args:
        rows: size of the window of each model version; 0: nothing is kept.
        seconds: time between two updates.
        alpha: false-alarm rate of the anomalies that are counted.
    """

    def __init__(self, *, rows: int, seconds: float, alpha: float, log: Log) -> None:
        self._rows, self._seconds, self._alpha, self._log = rows, seconds, alpha, log
        self._models: WeakKeyDictionary[Model, _ModelRows] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._rows:
            self._task = asyncio.create_task(self._run(), name="model health")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def record(self, job: Job, result: RowArrays, answer: Answer) -> None:
        """Keep the scores of a reply with p-values on the model's own number of draws. Called in the event loop."""
        p_values = answer.rows.get("p_value")
        if p_values is None or not self._rows or job.num_samples != job.model.manifest.draws.default:
            return
        if job.model.spec.window is not None:
            return  # windows overlap, within requests and between them: their p-values are not independent
        assert isinstance(result, Bound)
        own = self._models.get(job.model)
        if own is None:
            own = self._models[job.model] = _ModelRows(WaitingRows(self._rows, result))
        own.waiting.put(result, p_values)

    def figures(self, model: Model) -> Figures | None:
        """The figures of the last update; None if there are no rows yet."""
        own = self._models.get(model)
        if own is None or own.window is None or own.figures is None:
            return None
        return own.window.aged(own.figures)

    def why_none(self, model: Model | None) -> str:
        """Why a model has no figures; None stands for a version that is not in memory."""
        if not self._rows:
            return "the model health is off: VAE_HEALTH_ROWS is 0"
        if model is None:
            return "the version is not in memory"
        if model.spec.window is not None:
            return "windows of a series overlap, so their scores are not compared with the calibration"
        calibration = model.calibration()
        return calibration if isinstance(calibration, str) else "no row was scored yet, or the next update is to come"

    async def update(self) -> None:
        """Compare the rows that wait. Called in the event loop; the work is done in a thread."""
        for model, own in list(self._models.items()):
            if not len(own.waiting):
                continue
            try:
                own.figures = await asyncio.to_thread(self._compare, model, own, *own.waiting.take())
            except Exception as exc:  # noqa: BLE001 - the other models must still be compared
                self._failed(exc, model=f"{model.manifest.name}@{model.manifest.version}")

    def _compare(self, model: Model, own: _ModelRows, scored: Scores, p_values: Floats, at: Floats) -> Figures:
        if own.window is None:
            calibration = model.calibration()
            assert not isinstance(calibration, str)
            own.window = Window(calibration, size=self._rows, alpha=self._alpha)
        own.window.add(scored, p_values, at)
        return own.window.figures()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.update()
            except Exception as exc:  # noqa: BLE001 - an update must never be the last one
                self._failed(exc)

    def _failed(self, exc: Exception, **facts: str) -> None:
        self._log.error("update of the model health failed", reason=f"{type(exc).__name__}: {exc}", **facts)
