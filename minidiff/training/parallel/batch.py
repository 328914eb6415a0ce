"""Which rows of a training batch this process takes, and how its gradients become those of the whole batch.

Where a loss is a mean over rows, each rank of an MPI job takes its rows through all of it: noise, network and comparison. Only
gradients and the loss travel then. Other losses see the whole batch on every rank, and share the passes through the network
(`data_parallel`).
"""

from ...rng import RowsOfRng
from ...settings import setting
from ...thread_team import get_threads
from ...tree import tree_map
from .data_parallel import DataParallel
from .rows import parts_of, settings_for


def share_of(model, objective, total):
    """This process's share of a batch of `total` rows.   model: a Layer   objective: as the Trainer takes it"""
    if isinstance(model, DataParallel) and model.engine == "mpi" and getattr(objective, "by_rows", False):
        return OwnRows(model, objective, total)
    return AllRows(model, objective)


class AllRows:
    """The whole batch in this process."""

    def __init__(self, model, objective):
        self.model, self.objective = model, objective

    def of(self, arrays):
        """The rows that this process takes of each of `arrays`."""
        return arrays

    def gradients(self, prepare, arrays, rng, check=lambda loss: None):
        """The loss of the batch. Every p.grad has been added to.

        prepare   prepare(*arrays) -> x0, cond   arrays: what `of` gave, on the model's device   rng: as the objective takes it
        check     check(loss) may raise before any gradient is added
        """
        x0, cond = prepare(*arrays)
        loss, back = self.objective(self.model, x0, rng, cond)
        check(loss)
        back()
        return loss


class OwnRows(AllRows):
    """A rank's rows of it. Rank 0 has some of every batch, however small.

    An error on one rank is raised on all of them, and leaves no gradients.
    """

    def __init__(self, model, objective, total):
        super().__init__(model, objective)
        parts, rank = parts_of(total, model.parts(total)), model.ranks.rank
        self.total, self.idle = total, rank >= len(parts)
        self.rows = slice(0, 0) if self.idle else parts[rank]

    def of(self, arrays):
        return tree_map(lambda a: a[self.rows], arrays)

    def gradients(self, prepare, arrays, rng, check=lambda loss: None):
        def work():
            with setting(**settings_for(self.rows, self.total, get_threads())):
                x0, cond = prepare(*arrays)
                loss, back = self.objective(self.model, x0, RowsOfRng(rng, self.rows, self.total), cond)
                check(loss)
                weight = len(x0) / self.total  # of the mean of these rows in the mean of all
                back(weight)
                return loss * weight

        return self.model.engine_of_ranks().add_up(None if self.idle else work)
