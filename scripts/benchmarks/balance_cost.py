"""docs/benchmarks/balance_cost.md: what a training step costs under each balancer, over a plain sum; TorchJD likewise on a PyTorch twin.

Called by scripts/benchmarks/balance_cost.sh with the compiled example, the profile and the number of rounds. Both sides of every ratio run in turn within one
process; both programs run the same network on the same batch, which is checked by the losses.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
WARM_UP = 1
# `parallel_chunk_size` of TorchJD.
WAYS = {"at once": None, "one by one": 1}
# Our name of the rule that TorchJD's class computes.
CLASSES = {
    "equal-sum": "Sum",
    "upgrad": "UPGrad",
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "cagrad": "CAGrad",
    "imtl-g": "IMTLG",
    "nash-mtl": "NashMTL",
    "aligned-mtl": "AlignedMTL",
}


class Twin:
    """The exported network in PyTorch."""

    def __init__(self, folder):
        import numpy
        import torch
        from safetensors.torch import load_file

        sys.path.insert(0, str(ROOT / "tests/parity"))
        import model_losses
        import model_networks

        self.torch, self.networks, self.regulariser = torch, model_networks, model_losses.regulariser
        self.about = json.loads((folder / "about.json").read_text())
        self.P = {name: tensor.requires_grad_() for name, tensor in load_file(folder / "parameters.safetensors").items()}
        self.x = torch.from_numpy(numpy.fromfile(folder / "input.f32", dtype="<f4").copy()).reshape(self.about["shape"])
        self.tasks = self.about["tasks"]
        self.names = [task["name"] for task in self.tasks]
        codes = [2 * a + b for a, b in zip(self.about["region"], self.about["metastasis"])]
        # Every label is known, so a task's loss is the mean cross-entropy of the samples that it applies to.
        ignored = [[-100 if task["table"][code] is None else task["table"][code] for code in codes] for task in self.tasks]
        self.labels = [torch.tensor(row) for row in ignored]
        weights = [p for name, p in self.P.items() if name != "read_out.eta"]
        decayed = [p for p in weights if p.dim() > 1]
        others = [p for p in weights if p.dim() <= 1]
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-6, weight_decay=1e-2, fused=True)
        self.weights = weights
        self.experts, self.dbr = model_networks.experts, model_networks.dbr

    def forward(self):
        """Losses, regulariser, and the features at which TorchJD parts shared from own: the shared experts' outputs and a copy of
        the backbone's, which gates and private experts read. A copy, so that its gradient leaves out the way through the experts.
        """
        networks, features, copies = self.networks, [], {}

        def copy(z):
            if id(z) not in copies:
                copies[id(z)] = z.clone()
                features.append(copies[id(z)])
            return copies[id(z)]

        def experts(P, name, count, z):
            if name != "shared":
                return self.experts(P, name, count, copy(z))
            outputs = self.experts(P, name, count, z)
            features.extend(outputs)
            return outputs

        networks.experts = experts
        networks.dbr = lambda P, name, z, config: self.dbr(P, name, copy(z), config)
        logits, records, terms = networks.mt_ids(self.P, self.x, self.names, self.about["model"])
        cross_entropy = self.torch.nn.functional.cross_entropy
        losses = [cross_entropy(row, labels, ignore_index=-100) for row, labels in zip(logits, self.labels)]
        return losses, self.regulariser(self.tasks, logits, records, terms, self.about), features

    def finish(self):
        self.torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimizer.step()

    def plain(self):
        self.optimizer.zero_grad(set_to_none=True)
        losses, rest, _ = self.forward()
        (sum(losses) + rest).backward()
        self.finish()

    def balanced(self, aggregator, chunk):
        from torchjd.autojac import jac_to_grad, mtl_backward

        self.optimizer.zero_grad(set_to_none=True)
        losses, rest, features = self.forward()
        rest.backward(retain_graph=True)
        mtl_backward(losses, features=features, parallel_chunk_size=chunk)
        shared = [p for name, p in self.P.items() if name.startswith(("trunk.", "shared."))]
        jac_to_grad(shared, aggregator)
        self.finish()

    def gradients(self):
        return {name: p.grad.clone() for name, p in self.P.items() if p.grad is not None}

    def check(self, aggregation):
        """The exported losses, and the same gradient from the plain sum and from TorchJD's Sum."""
        losses, _, _ = self.forward()
        for ours, theirs in zip(self.about["losses"], losses):
            assert abs(ours - theirs.item()) < 1e-4 * abs(ours), (ours, theirs.item())
        finish, self.finish = self.finish, lambda: None
        self.plain()
        plain = self.gradients()
        for chunk in (None, 1):
            self.balanced(aggregation.Sum(), chunk)
            found = self.gradients()
            assert plain.keys() == found.keys()
            norm = sum(g.square().sum() for g in plain.values()).sqrt()
            apart = sum((plain[name] - found[name]).square().sum() for name in plain).sqrt()
            assert apart < 1e-4 * norm, (apart, norm)
        self.finish = finish


def torchjd(folder, rounds):
    """Child process: one line of JSON per rule and way of differentiating."""
    import warnings

    import torchjd.aggregation as aggregation

    warnings.filterwarnings("ignore")
    twin = Twin(pathlib.Path(folder))
    twin.torch.set_num_threads(os.cpu_count())
    twin.check(aggregation)
    made = {"cagrad": {"c": 0.5}, "nash-mtl": {"n_tasks": len(twin.tasks)}}
    rules = {rule: getattr(aggregation, name)(**made.get(rule, {})) for rule, name in CLASSES.items()}
    way = quicker(twin, rules["equal-sum"])
    measured, failed = {rule: [] for rule in rules}, {}
    for turn in range(WARM_UP + int(rounds)):
        for rule, times in measured.items():
            if rule in failed:
                continue
            pair = {}
            try:
                for side in ("plain", "rule") if turn % 2 else ("rule", "plain"):
                    start, before = time.perf_counter(), time.process_time()
                    if side == "plain":
                        twin.plain()
                    else:
                        twin.balanced(rules[rule], WAYS[way])
                    pair[f"{side}_ms"] = (time.perf_counter() - start) * 1e3
                    pair[f"{side}_processor_ms"] = (time.process_time() - before) * 1e3
            except Exception as error:  # a solver that gives up ends its row, not the table
                failed[rule] = f"{type(error).__name__}: {error}"
                continue
            if turn >= WARM_UP:
                times.append(pair)
    for rule, times in measured.items():
        line = {key: [pair[key] for pair in times] for key in times[0]} if rule not in failed else {}
        print(json.dumps({"rule": rule, "way": way, "failed": failed.get(rule), **line}))


def quicker(twin, aggregator):
    """The way in which TorchJD differentiates this network with the least processor time."""
    spent = {way: [] for way in WAYS}
    for _ in range(3):
        for way, times in spent.items():
            before = time.process_time()
            twin.balanced(aggregator, WAYS[way])
            times.append(time.process_time() - before)
    return min(spent, key=lambda way: min(spent[way]))


def run(command):
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def ratios(line, measure):
    return [rule / plain for rule, plain in zip(line[f"rule_{measure}"], line[f"plain_{measure}"])]


def cell(line):
    """Median of the ratios, their range, and the median by processor time."""
    if line is None:
        return "– | –"
    wall = ratios(line, "ms")
    processor = statistics.median(ratios(line, "processor_ms"))
    return f"{statistics.median(wall):.2f} ({min(wall):.2f}–{max(wall):.2f}) | {processor:.2f}"


def plain_row(lines):
    """Medians of all plain steps of a run, in milliseconds."""
    wall = [value for line in lines for value in line.get("plain_ms", [])]
    processor = [value for line in lines for value in line.get("plain_processor_ms", [])]
    return f"{statistics.median(wall):.0f} ms ({min(wall):.0f}–{max(wall):.0f}) | {statistics.median(processor):.0f} ms"


def table(program, tasks, rounds):
    boundary = run([program, str(tasks), "boundary", str(rounds)])
    exact = run([program, str(tasks), "exact", str(rounds)])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "export", str(tasks), folder], check=True)
        theirs = run([sys.executable, __file__, "torchjd", folder, str(rounds)])
    best, notes = {}, []
    for line in theirs:
        if line["failed"]:
            notes.append(f"TorchJD's {CLASSES[line['rule']]} stopped: {line['failed']}.")
        else:
            best[line["rule"]] = line
    of_exact = {line["rule"]: line for line in exact}
    head = "| rule | boundary | processor | exact | processor | TorchJD, exact | processor |\n|---|---|---|---|---|---|---|"
    rows = [head, f"| *plain sum* | {plain_row(boundary)} | {plain_row(exact)} | {plain_row(theirs)} |"]
    for line in boundary:
        name = line["rule"]
        rows.append(f"| {name} | {cell(line)} | {cell(of_exact[name])} | {cell(best.get(name))} |")
    notes.append(f"TorchJD differentiated the tasks {theirs[0]['way']}, the quicker way by its Sum.")
    goal = statistics.median(ratios(boundary[0], "ms"))
    processor = statistics.median(ratios(boundary[0], "processor_ms"))
    verdict = "met" if goal <= 1.25 else "missed"
    notes.insert(0, f"Goal for {boundary[0]['rule']} at the boundary, at most 1.25: **{verdict}** ({goal:.2f} by the clock, {processor:.2f} by processor time).")
    return f"## {tasks} tasks\n\n" + "\n".join(rows) + "\n\n" + "\n\n".join(notes) + "\n"


def main(program, profile, rounds):
    begin = time.time()
    load = os.getloadavg()[0]
    tables = [table(program, tasks, rounds) for tasks in (3, 8)]
    version = importlib.metadata.version
    text = f"""# What a step costs under each balancer

Written by `make balance-cost` on {datetime.date.today()}: profile {profile}, {os.cpu_count()} processors, load {load:.1f} before and {os.getloadavg()[0]:.1f} after
{(time.time() - begin) / 60:.0f} minutes, PyTorch {version('torch')} on the CPU, TorchJD {version('torchjd')}.

A whole training step of the default MT-IDS (2.5-D backbone, patches of 12 × 44 × 44, batch 32, `f32`) with a balancer, divided by the same step
with the plain sum of all losses and one backward pass. Both sides run in turn in one process; each cell is the median of {rounds} ratios
(least–greatest) and the median ratio of processor time, which leaves out waiting for others. The first row is the plain step
itself. At the *boundary* tasks are compared by their gradients at the cut; *exact* differentiates the whole network once per task.
Rules on whole gradients are not in this table. FAMO's figure includes its second evaluation of the losses. Negative
coefficients were set to 0: the work is the same.

TorchJD runs `mtl_backward` and `jac_to_grad` on a PyTorch twin of the network, on the same weights and batch (losses agree within
1e-4), over PyTorch's own plain sum. Before the clock starts both programs check that coefficients of 1 give the gradient of the plain sum.

"""
    (ROOT / "docs/benchmarks/balance_cost.md").write_text(text + "\n".join(tables))


if __name__ == "__main__":
    if sys.argv[1] == "torchjd":
        torchjd(*sys.argv[2:])
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
