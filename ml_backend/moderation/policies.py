"""The policies of this home, applied to the model that serves. They are read again every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from ml_backend.moderation.config import ModerationLimits, ReadPolicies
from ml_backend.moderation.errors import BadRequest
from ml_backend.moderation.verdicts import Judge
from pipeline.errors import StoreError
from pipeline.models.artefact import TrainedModel
from pipeline.models.policies import BUILT_IN, Policy
from pipeline.taxonomy import Taxonomy

#: of a token and a request that name none
DEFAULT = "balanced"


class Judges:
    """Gives the judge for a model and the name of a policy.

    Args:
        read: reads the home's own policies.
        taxonomy: says which labels are harmful.
        limits: how long they are believed.
        executor: where they are read.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        read: ReadPolicies,
        taxonomy: Taxonomy,
        limits: ModerationLimits,
        executor: Executor,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._taxonomy, self._limits = read, taxonomy, limits
        self._executor, self._clock = executor, clock
        self._policies: Mapping[str, Policy] = BUILT_IN
        self._read_at: float | None = None
        self._made: dict[tuple[str, str], Judge] = {}

    async def of(self, model: TrainedModel, name: str | None) -> Judge:
        """The judge for a model under a policy.

        Raises:
            BadRequest: there is no policy with this name.
        """
        policies = await self._current()
        policy = policies.get(name or DEFAULT)
        if policy is None:
            known = ", ".join(sorted(policies))
            raise BadRequest(f"there is no policy {str(name)[:60]!r}: there are {known}", param="policy")
        key = (model.manifest.version, policy.name)
        judge = self._made.get(key)
        if judge is None or judge.policy != policy:
            self._made = {known: made for known, made in self._made.items() if known[0] == key[0]}
            judge = self._made[key] = Judge(model, policy, self._taxonomy)
        return judge

    async def all(self, model: TrainedModel) -> Sequence[Judge]:
        """The judges of a model under every policy."""
        return [await self.of(model, name) for name in sorted(await self._current())]

    async def _current(self) -> Mapping[str, Policy]:
        now = self._clock()
        if self._read_at is None or now - self._read_at >= self._limits.fresh:
            self._read_at = now
            try:
                own = await asyncio.get_running_loop().run_in_executor(self._executor, self._read)
            except StoreError:
                # those that were read last go on being used
                return self._policies
            self._policies = {**BUILT_IN, **own}
        return self._policies
