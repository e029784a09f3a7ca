"""What work will cost, from what like work has cost in this store."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field

from benchmark.store import Store


@dataclass
class Costs:
    """Measured seconds, looked up from the most to the least specific."""

    trainings: dict[tuple[str, ...], list[float]] = field(default_factory=lambda: defaultdict(list))
    sets: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def measured(cls, store: Store) -> Costs:
        """Read every cost that the store has."""
        costs = cls()
        found = store.database.execute(
            "SELECT DISTINCT r.learner, r.task, r.dpc, u.run_key, u.costs FROM rows r"
            " JOIN runs u USING (run_key) WHERE u.status = 'ok'"
        )
        for learner, task, dpc, _, text in found:
            cost = json.loads(text)
            seconds = cost.get("train_seconds", 0.0) + cost.get("predict_seconds", 0.0)
            for key in ((learner, task, dpc), (learner, task), (learner,)):
                costs.trainings[key].append(seconds)
        for record in store.sets().values():
            if "distil_seconds" in record.facts:
                costs.sets[str(record.ingredients.get("method"))].append(
                    record.facts["distil_seconds"]
                )
        return costs

    def training(self, learner: str, task: str, dpc: str) -> float | None:
        """Mean seconds of one training, or None if no like it was measured."""
        for key in ((learner, task, dpc), (learner, task), (learner,)):
            if self.trainings.get(key):
                return sum(self.trainings[key]) / len(self.trainings[key])
        return None

    def set(self, method: str) -> float | None:
        """Mean seconds of one distillation, or None."""
        seconds = self.sets.get(method)
        return sum(seconds) / len(seconds) if seconds else None
