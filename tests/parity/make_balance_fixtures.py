"""Writes crates/mtids-balance/tests/fixtures/parity.csv: what TorchJD and LibMTL answer to random task gradients.

    python3 -m venv .venv && .venv/bin/pip install -r tests/parity/requirements.txt
    .venv/bin/python tests/parity/make_balance_fixtures.py

One line is one case: rule, settings, T, P, steps, seed, then the answer of the last step: the weights, or of an update Σu, Σ p·u_p and Σu².
Gradients and losses are not stored: both sides draw them from the seed by the same integer generator, so the file stays small.
All in float64.

Their solvers are run at tolerances far below their defaults where they have such settings; every such change is said beside the call.
Rules that neither package of PyPI has (DB-MTL, MoCo, MetaBalance, GradCraft) are written out here in NumPy from their papers.
"""

import importlib.util
import pathlib
import sys
import types
import warnings

import cvxpy as cp
import numpy as np
import torch
import torchjd.aggregation as agg
import torchjd.scalarization as scal
from torchjd._linalg import QuadprogProjector
from torchjd.aggregation._gradvac import GradVacWeighting
from torchjd.aggregation._sdmgrad import SDMGradWeighting

# LibMTL's own __init__ imports a torchvision module that no longer exists; its rules do not need it.
package = types.ModuleType("LibMTL")
package.__path__ = list(importlib.util.find_spec("LibMTL").submodule_search_locations)
sys.modules["LibMTL"] = package
from LibMTL.weighting.CAGrad import CAGrad as LibCAGrad
from LibMTL.weighting.DWA import DWA as LibDWA
from LibMTL.weighting.GradNorm import GradNorm as LibGradNorm
from LibMTL.weighting.IMTL import IMTL as LibIMTL
from LibMTL.weighting.MGDA import MGDA as LibMGDA
from LibMTL.weighting.UW import UW as LibUW

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)

CASES = 200
TARGET = pathlib.Path(__file__).resolve().parents[2] / "crates/mtids-balance/tests/fixtures/parity.csv"


class Draws:
    """SplitMix64 (Steele, Lea and Flood 2014): the same numbers in Python and in Rust."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return (z ^ (z >> 31)) >> 11

    def uniform(self):
        return self.next() * 2.0**-53


def case(seed, tasks, width, steps):
    """Per step: gradients [T, P] in [-1, 1] with lengths spread over a factor of about 8, and losses in [0.1, 2.1]."""
    draws = Draws(seed)
    scales = [0.25 * 2.0 ** int(4.0 * draws.uniform()) for _ in range(tasks)]
    out = []
    for _ in range(steps):
        rows = [[scales[i] * (2.0 * draws.uniform() - 1.0) for _ in range(width)] for i in range(tasks)]
        losses = [0.1 + 2.0 * draws.uniform() for _ in range(tasks)]
        out.append((torch.tensor(rows), torch.tensor(losses)))
    return out, draws


LINES = []


def write(rule, settings, tasks, width, steps, seed, values):
    values = [float(v) for v in values]
    assert all(np.isfinite(values)), (rule, seed, values)
    LINES.append(",".join([rule, settings, str(tasks), str(width), str(steps), str(seed)] + ["%.11g" % v for v in values]))


def write_update(rule, settings, tasks, width, steps, seed, update):
    u = np.asarray(update.detach() if torch.is_tensor(update) else update)
    write(rule, settings, tasks, width, steps, seed, [u.sum(), (u * np.arange(1, width + 1)).sum(), (u * u).sum()])


def gram_rule(rule, settings, make, steps=1, tasks=(2, 3, 4, 7), seed0=0):
    """A TorchJD weighting of the Gram matrix."""
    for k in range(CASES):
        t = tasks[k % len(tasks)]
        width = 2 * t + 3 + k % 5
        seed = seed0 + k
        data, _ = case(seed, t, width, steps)
        weighting = make(t)
        for rows, _ in data:
            weights = weighting(rows @ rows.T)
        write(rule, settings, t, width, steps, seed, weights)


def scaled(weighting, factor):
    return lambda gramian: weighting(gramian * factor)


def slopes(scalarizer, losses):
    leaf = losses.clone().requires_grad_(True)
    scalarizer(leaf).backward()
    return leaf.grad


def loss_rule(rule, settings, run, steps=5, seed0=0):
    for k in range(CASES):
        t = (2, 3, 5)[k % 3]
        data, _ = case(seed0 + k, t, 4, steps)
        write(rule, settings, t, 4, steps, seed0 + k, run(t, [losses for _, losses in data]))


def learned(scalarizer, parameter, rate):
    """Weights of the last step of a scalarizer whose parameter Adam learns."""

    def run(t, losses):
        model = scalarizer(t)
        optimizer = torch.optim.Adam([parameter(model)], lr=rate)
        for values in losses:
            weights = slopes(model, values)
            optimizer.step()
            optimizer.zero_grad()
        return weights

    return run


def famo(t, losses):
    model = scal.FAMO(t, lr=0.025, weight_decay=1e-3)
    for values in losses:
        weights = slopes(model, values)
        # The test lowers task i's loss to (0.95 − 0.05 i) of what it was.
        model.update(values * torch.tensor([0.95 - 0.05 * i for i in range(t)]))
    return weights


def dwa(t, losses):
    model = scal.DWA()
    for values in losses:
        weights = slopes(model, values)
        model.step()
    return weights


class LibModel:
    """What LibMTL's rules expect of the class they are mixed into: shared parameters x and losses g_i·x + L_i at x = 0."""

    def prepare(self, tasks, width):
        self.task_num, self.device, self.rep_grad, self.epoch = tasks, torch.device("cpu"), False, 5
        self.x = torch.nn.Parameter(torch.zeros(width))
        self.init_param()

    def get_share_params(self):
        return [self.x]

    def zero_grad_share_params(self):
        if self.x.grad is not None:
            self.x.grad.zero_()

    def losses_of(self, rows, values):
        return rows @ self.x + values


def lib(cls):
    class Mixed(LibModel, cls):
        def __init__(self):
            torch.nn.Module.__init__(self)

    return Mixed()


def libmtl():
    for k in range(CASES):
        # UW from −0.5, with Adam at 0.01.
        t = (2, 3, 5)[k % 3]
        data, _ = case(k, t, 4, 5)
        model = lib(LibUW)
        model.prepare(t, 4)
        optimizer = torch.optim.Adam([model.loss_scale], lr=0.01)
        for rows, losses in data:
            optimizer.zero_grad()
            weights = model.backward(model.losses_of(rows, losses))
            optimizer.step()
        write("uw", "libmtl", t, 4, 5, k, weights)
        # DWA: averages of the last two epochs from its buffer. The rule goes through float32 there.
        model = lib(LibDWA)
        model.prepare(t, 4)
        model.epoch = 4
        model.train_loss_buffer = np.stack([losses.numpy() for _, losses in data], axis=1)
        rows, losses = data[-1]
        write("dwa", "libmtl", t, 4, 5, k, model.backward(model.losses_of(rows, losses), T=2.0))
        # GradNorm in LibMTL's parametrisation, Adam at 0.01, first losses from its buffer.
        model = lib(LibGradNorm)
        model.prepare(t, 4)
        model.train_loss_buffer = data[0][1].numpy().reshape(t, 1)
        optimizer = torch.optim.Adam([model.loss_scale], lr=0.01)
        for rows, losses in data:
            optimizer.zero_grad()
            model.x.grad = None
            weights = model.backward(model.losses_of(rows, losses), alpha=1.5)
            optimizer.step()
        write("gradnorm", "softmax", t, 4, 5, k, weights)
        # IMTL: its gradient part with s = 0 (IMTL-L's weights are e^0 = 1).
        width = 2 * t + 3
        (rows, losses), = case(k, t, width, 1)[0]
        model = lib(LibIMTL)
        model.prepare(t, width)
        write("imtl-g", "libmtl", t, width, 1, k, model.backward(model.losses_of(rows, losses)))
        # MGDA of two tasks is closed there (clipped to 0.001 and 0.999).
        (rows, losses), = case(k, 2, 6, 1)[0]
        model = lib(LibMGDA)
        model.prepare(2, 6)
        write("mgda", "libmtl", 2, 6, 1, k, model.backward(model.losses_of(rows, losses), mgda_gn="none"))
        # CAGrad is written for three tasks there (`reshape(1, 3)`). The combined gradient is compared: it returns w only.
        (rows, losses), = case(k, 3, 8, 1)[0]
        model = lib(LibCAGrad)
        model.prepare(3, 8)
        model.backward(model.losses_of(rows, losses), calpha=0.5, rescale=1)
        write_update("cagrad", "libmtl", 3, 8, 1, k, model.x.grad)


def tighten():
    """Their conic solvers and SLSQP run at 1e-13 instead of at their defaults of 1e-8 and 1e-6."""
    lib_cagrad = sys.modules[LibCAGrad.__module__]
    solve, minimize = cp.Problem.solve, lib_cagrad.minimize

    def solve_tightly(self, solver=None, **keys):
        names = ("abstol", "reltol", "feastol") if solver == cp.ECOS else ("tol_gap_abs", "tol_gap_rel", "tol_feas")
        return solve(self, solver=solver, **(keys | dict.fromkeys(names, 1e-13)))

    cp.Problem.solve = solve_tightly
    lib_cagrad.minimize = lambda *a, **keys: minimize(*a, **keys, tol=1e-13)


def main():
    tighten()
    # PCGrad and GradVac meet the other tasks in index order: TorchJD's only randomness is this call.
    torch.randperm = lambda n: torch.arange(n)
    # Without ridge (default 1e-4 of the trace) and without cut (default: zero below a trace of 1e-4).
    exact = QuadprogProjector(norm_eps=0.0, reg_eps=0.0)
    gram_rule("upgrad", "", lambda t: agg.UPGradWeighting(projector=exact))
    gram_rule("dual-proj", "", lambda t: agg.DualProjWeighting(projector=exact))
    gram_rule("pcgrad", "", lambda t: agg.PCGradWeighting())
    gram_rule("gradvac", "0.01", lambda t: GradVacWeighting(beta=0.01, eps=0.0), steps=4)
    gram_rule("gradvac", "0.5", lambda t: GradVacWeighting(beta=0.5, eps=0.0), steps=4)
    # Frank–Wolfe: exact for two tasks; for more it creeps, and its norm is compared, see the test.
    gram_rule("mgda", "", lambda t: agg.MGDAWeighting(epsilon=1e-14, max_iters=2), tasks=(2,))
    gram_rule("mgda", "frank-wolfe", lambda t: agg.MGDAWeighting(epsilon=1e-12, max_iters=4000), tasks=(3, 4, 7))
    gram_rule("imtl-g", "", lambda t: agg.IMTLGWeighting())
    gram_rule("aligned-mtl", "", lambda t: agg.AlignedMTLWeighting())
    for c in (0.4, 0.9):
        gram_rule("cagrad", str(c), lambda t: agg.CAGradWeighting(c=c))
    for a in (0.5, 1.0, 2.0):
        gram_rule("fairgrad", str(a), lambda t: agg.FairGradWeighting(alpha=a))
    # It adds 1e-8 to the squared mean norm that it divides by; with the gradients 1e6 times as long that is lost in rounding. One
    # training step: over four, 55 of 200 cases differed by more than 1e-8, perhaps because large steps in w enlarge rounding (not measured).
    gram_rule("sdmgrad", "", lambda t: scaled(SDMGradWeighting(), 1e12))
    loss_rule("uw", "", learned(scal.UW, lambda m: m.log_var, 0.01))
    loss_rule("imtl-l", "", learned(scal.IMTLL, lambda m: m.log_scale, 0.01))
    loss_rule("gls", "", lambda t, losses: slopes(scal.GeometricMean(), losses[0]), steps=1)
    loss_rule("stch", "0.5", lambda t, losses: slopes(scal.STCH(0.5), losses[0]), steps=1)
    loss_rule("famo", "", famo)
    loss_rule("dwa", "", dwa)
    for k in range(CASES):
        t = (2, 3, 4, 7)[k % 4]
        width = 2 * t + 3 + k % 5
        (rows, _), = case(k, t, width, 1)[0]
        # Nash-MTL without its norm limit, and enough iterations of its solver.
        nash = agg.NashMTL(n_tasks=t, max_norm=0.0, update_weights_every=1, optim_niter=200)
        write_update("nash-mtl", "", t, width, 1, k, nash(rows))
        write_update("config", "", t, width, 1, k, agg.ConFIG()(rows))
        # GradDrop with draws from the case's own generator.
        data, draws = case(k, t, width, 1)
        uniform = torch.tensor([draws.uniform() for _ in range(width)])
        genuine, torch.rand = torch.rand, lambda *a, **kw: uniform
        write_update("graddrop", "0.25", t, width, 1, k, agg.GradDrop(leak=torch.full((t,), 0.25))(rows))
        torch.rand = genuine
        # ExcessMTL over four steps.
        excess = agg.ExcessMTL(robust_step_size=0.1)
        for step_rows, _ in case(k, t, width, 4)[0]:
            update = excess(step_rows)
        write_update("excess-mtl", "0.1", t, width, 4, k, update)
        from_papers(k, t, width)
    for t in (2, 3, 8):
        torch.manual_seed(t)
        sample = torch.softmax(torch.randn(400_000, t), dim=-1)
        write("rlw", "second moment", t, 0, 0, 0, [(sample**2).mean()])
    libmtl()
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n".join(LINES) + "\n")
    print(f"{TARGET}: {len(LINES)} cases, {TARGET.stat().st_size // 1024} KiB")


def from_papers(k, t, width):
    """The four rules that neither package has, over four steps, from their papers and repositories' formulas."""
    data = [(rows.numpy(), losses.numpy()) for rows, losses in case(k, t, width, 4)[0]]
    average, means, tracked = np.zeros((t, width)), np.zeros(t), np.zeros((t, width))
    weights = np.full(t, 1.0 / t)
    for step, (rows, losses) in enumerate(data, 1):
        log_rows = rows / (losses + 1e-8)[:, None]
        average = log_rows + 0.9 * (average - log_rows)
        lengths = np.linalg.norm(average, axis=1)
        db_mtl = ((lengths.max() / (lengths + 1e-8))[:, None] * average).sum(0)

        norms = np.linalg.norm(rows, axis=1)
        means = 0.9 * means + 0.1 * norms
        meta = sum((0.7 * means[0] / means[i] + 0.3) * rows[i] for i in range(t))

        scaled = (0.1 * means.max() / means + 0.9)[:, None] * rows
        craft = np.zeros(width)
        for own in scaled:
            s = scaled[scaled @ own < 0.0]
            if len(s):
                right = -s @ own + 1e-10 * np.linalg.norm(own) * np.linalg.norm(s, axis=1)
                own = own + np.linalg.solve(s @ s.T, right) @ s
            craft += own / t

        target = rows * (losses / (norms + 1e-8))[:, None]
        tracked = tracked - 0.5 / step**0.5 * (tracked - target)
        logits = weights - 0.1 / step**0.5 * (tracked @ tracked.T) @ weights
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        moco = weights @ tracked
    for rule, update in (("db-mtl", db_mtl), ("metabalance", meta), ("gradcraft", craft), ("moco", moco)):
        write_update(rule, "paper", t, width, 4, k, update)


if __name__ == "__main__":
    main()
