"""The stream with its keywords."""

import json
from typing import Any, Self

from mtids import _mtids


class Stream(_mtids.Stream):
    """Batches of one epoch of a split, in an order that seed and epoch decide alone.

    Threads read, verify and collate beside Python. A batch is lent without a copy: its buffer goes back to the stream when
    the last array over it dies. A batch that is kept is memory beyond the byte budget. A process that is forked from this
    one starts threads of its own and goes on at the same batch.

    Args:
        dataset: from `mtids.open`.
        split: "train", "validation" or "test". Only findings come, also those whose labels are
            unknown (-1); negatives never do.
        batch_size: rows in a batch, on all ranks together.
        seed: of the order, and of what sampling draws.
        epoch: of the order and of what sampling draws, from 0.
        position: rows of the epoch to pass over, of all ranks together; the first row of a batch. Row groups that lie
            wholly before it are not read.
        rank: the part of each batch that this process takes, from 0.
        ranks: parts of each batch; parts in the order of the ranks are the batch.
        shuffle: rows in an order of seed and epoch; else that of the dataset.
        sampling: settings of `stream.sampling` (schemas/train-config.json), such as `{"balance": "joint"}`.
        every: of processes that take batches in turn, collate the first batch and each `every`-th after it.
        readers: threads that read.
        byte_budget_mib: memory for what is in flight, MiB; one that is too small is refused. Where all rows of
            the split fit, decoded, they stay in memory with the dataset, and later epochs read nothing.
        shuffle_row_groups: row groups that rows are drawn from at a time.
        drop_last: drop the last, smaller batch. By default it is kept, and one of a single row is joined to the one before.
        on_damage: "stop", or "skip" and count.
        state: of `Stream.state`, in place of a position. One of another dataset, sampling, seed or epoch is refused.

    Raises:
        ValueError: wrong settings, or a state of another stream.
        MtidsError: damage, in the place of the first batch that needs what is damaged.
    """

    def __new__(
        cls,
        dataset: _mtids.Dataset,
        split: str = "train",
        batch_size: int = 32,
        seed: int = 0,
        epoch: int = 0,
        position: int = 0,
        rank: int = 0,
        ranks: int = 1,
        *,
        shuffle: bool = True,
        sampling: dict[str, Any] | None = None,
        every: int = 1,
        readers: int = 2,
        byte_budget_mib: int = 256,
        shuffle_row_groups: int = 8,
        drop_last: bool = False,
        on_damage: str = "stop",
        state: dict[str, Any] | None = None,
    ) -> Self:
        settings = {
            "readers": readers,
            "byte_budget_mib": byte_budget_mib,
            "shuffle_row_groups": shuffle_row_groups,
            "drop_last": drop_last,
            "on_damage": on_damage,
            "sampling": sampling or {},
        }
        saved = None if state is None else json.dumps(state)
        return super().__new__(
            cls,
            dataset,
            split,
            batch_size,
            seed,
            epoch,
            shuffle,
            position,
            every,
            rank,
            ranks,
            json.dumps(settings),
            saved,
        )

    def state(self, batch: int | None = None) -> dict[str, Any]:
        """What to save so as to go on at the next batch, or at `batch`: seed, epoch, position and a digest."""
        found: dict[str, Any] = json.loads(self.state_json(batch))
        return found
