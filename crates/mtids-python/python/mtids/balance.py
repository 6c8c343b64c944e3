"""Gradient balancing on NumPy arrays: DD-GB and the other methods, the same bits as in Rust.

A balancer turns the Gram matrix K = G Gᵀ of the tasks' gradients of the shared parameters, and the losses, into one coefficient per
task; the shared update is Gᵀ c. DD-GB here is a reconstruction of MT-IDS from its abstract, not the authors' code.

Example:
    >>> import numpy as np
    >>> gradients = np.array([[1.0, 0.0], [-0.5, 1.0]])
    >>> coefficients, state = ddgb(gradients @ gradients.T, losses=[0.7, 1.2])
    >>> update = gradients.T @ coefficients
"""

import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtids import _mtids

METHODS: dict[str, str] = dict(_mtids.methods())
"""Every method, and what it needs: "gram", "gram and epochs", "gram and losses after", or "gradients"."""


class Balancer:
    """A balancer with its state.

    Args:
        method: a key of `METHODS`.
        tasks: number of tasks T.
        settings: of the method (`balancer` in schemas/train-config.json).

    Raises:
        ValueError: an unknown method or setting, or a value that is out of range.
    """

    def __init__(self, method: str, tasks: int, **settings: Any) -> None:
        self._balancer = _mtids.Balancer(json.dumps({"method": method, **settings}), tasks)
        self.telemetry: dict[str, Any] | None = None
        """What was seen at the last step: norms, cosines, and what the method did."""

    @property
    def method(self) -> str:
        """The method."""
        return self._balancer.method

    @property
    def tasks(self) -> int:
        """Number of tasks T."""
        return self._balancer.tasks

    def coefficients(
        self, gram: ArrayLike, losses: ArrayLike | None = None, active: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Coefficients `[T]` of a step.

        Args:
            gram: `[T, T]`, inner products of the tasks' gradients.
            losses: `[T]`; DD-GB uses them where they are given, methods on losses need them.
            active: `[T]`, whether a task had a labelled sample in the batch; an inactive one gets 0. Default: all.

        Raises:
            ValueError: no Gram matrix, not finite, wrong lengths, or a method that needs whole gradients. The state stays.
        """
        found, telemetry = self._balancer.coefficients(_matrix(gram), _numbers(losses), _flags(active))
        self.telemetry = json.loads(telemetry)
        return found

    def combine(
        self, gradients: ArrayLike, losses: ArrayLike | None = None, active: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Update `[P]` from gradients `[T, P]` for the methods that need them, and weights `[T]` where the method has such.

        Raises:
            ValueError: as `coefficients`.
        """
        update, weights, telemetry = self._balancer.combine(_matrix(gradients), _numbers(losses), _flags(active))
        self.telemetry = json.loads(telemetry)
        return update, weights

    def end_epoch(self) -> None:
        """Says that all steps of an epoch are done; only methods of `METHODS` with "epochs" look at it."""
        self._balancer.end_epoch()

    def after_step(self, losses: ArrayLike) -> None:
        """Takes losses `[T]` of the same batch after the step; only methods with "losses after" look at them."""
        self._balancer.after_step(np.asarray(losses, np.float64))

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on, bit for bit; it survives JSON."""
        found: dict[str, Any] = json.loads(self._balancer.state())
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over the state of a balancer of the same method and number of tasks.

        Raises:
            ValueError: it belongs to another; the balancer is then unchanged.
        """
        self._balancer.restore(json.dumps(state))


def ddgb(
    gram: ArrayLike,
    losses: ArrayLike | None = None,
    state: dict[str, Any] | None = None,
    active: ArrayLike | None = None,
    **settings: Any,
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """One step of DD-GB as a function: coefficients `[T]` and the state for the next step.

    Args:
        gram: `[T, T]`, inner products of the tasks' gradients.
        losses: `[T]`.
        state: of the step before; `None` at the first one.
        active: `[T]`, whether a task had a labelled sample.
        settings: of `dd-gb`.

    Raises:
        ValueError: as `Balancer`.
    """
    matrix = _matrix(gram)
    balancer = Balancer("dd-gb", matrix.shape[0], **settings)
    if state is not None:
        balancer.restore(state)
    return balancer.coefficients(matrix, losses, active), balancer.state()


def _matrix(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _numbers(values: ArrayLike | None) -> NDArray[np.float64] | None:
    return None if values is None else np.asarray(values, np.float64)


def _flags(values: ArrayLike | None) -> NDArray[np.bool_] | None:
    return None if values is None else np.asarray(values, np.bool_)
