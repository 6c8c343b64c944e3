"""The architectures again, written from their formulas on PyTorch's own layers.

`P` maps the names of parameters to tensors, and knows running statistics, views and whether it is training. Every network reads one
tensor per view and returns a list with one entry per task: logits, and for MT-IDS the gates (layers of (alpha, pi_shared, pi_private))
that its regularisers need, for DSelect-k the terms that it adds to the loss.
"""

import math

import torch
import torch.nn.functional as F

EPSILON = 1e-5


class Weights(dict):
    """Parameters by name, with the buffers of batch norm and what is known of the pass."""

    def __init__(self, parameters, buffers, about):
        super().__init__(parameters)
        self.buffers, self.training, self.views = buffers, about["training"], about["views"]

    def named(self, prefix, view):
        return prefix if len(self.views) == 1 else f"{prefix}.{view}"


def linear(P, name, x):
    return F.linear(x, P[name + ".weight"], P[name + ".bias"])


def layer_norm(P, name, x):
    return F.layer_norm(x, x.shape[-1:], P[name + ".scale"], P[name + ".shift"], EPSILON)


def norm(P, name, x, config):
    scale, shift = P[name + ".scale"], P[name + ".shift"]
    if config["norm"] == "group":
        return F.group_norm(x, config["groups"], scale, shift, EPSILON)
    mean, variance = P.buffers[name + ".running_mean"], P.buffers[name + ".running_variance"]
    return F.batch_norm(x, mean, variance, scale, shift, P.training, 0.1, EPSILON)


def conv_norm(P, name, x, stride, config, rectify):
    weight = P[name + ".conv.weight"]
    y = norm(P, name + ".norm", F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2), config)
    return F.relu(y) if rectify else y


class Trunk:
    """The 2.5-D residual network: slices and windows are channels."""

    def __init__(self, P, prefix, config):
        self.P, self.prefix, self.config = P, prefix, config

    def stem(self, x):
        return conv_norm(self.P, self.prefix + ".stem", x.flatten(1, 2), self.config["stem_stride"], self.config, True)

    def stage(self, stage, x):
        batch = self.config["norm"] == "batch"
        for block in range(self.config["blocks"]):
            name = f"{self.prefix}.stage{stage}.block{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            y = conv_norm(self.P, name + ".first", x, stride, self.config, True)
            # With batch norm the rectifier follows the addition (He et al.).
            y = conv_norm(self.P, name + ".second", y, 1, self.config, not batch)
            if name + ".shortcut.conv.weight" in self.P:
                x = conv_norm(self.P, name + ".shortcut", x, stride, self.config, False)
            x = F.relu(x + y) if batch else x + y
        return x

    @property
    def stages(self):
        return len(self.config["widths"])

    def finish(self, x):
        grid, pooling = self.config["pool_grid"], self.config["pooling"]
        parts = [F.adaptive_avg_pool2d(x, grid)] if pooling != "maximum" else []
        parts += [F.adaptive_max_pool2d(x, grid)] if pooling != "average" else []
        pooled = torch.cat(parts, 1).flatten(1)
        if self.config["finish"] == "none":
            return pooled
        name = self.prefix + ".features"
        features = linear(self.P, name, pooled)
        return F.relu(features) if self.config["finish"] == "rectified" else layer_norm(self.P, name + ".norm", features)

    def __call__(self, x):
        x = self.stem(x)
        for stage in range(self.stages):
            x = self.stage(stage, x)
        return self.finish(x)


def trunks(P, prefix, config):
    """One trunk per view."""
    return [Trunk(P, P.named(prefix, view), config["trunks"][view]) for view in P.views]


def features(P, prefix, inputs, config):
    """Features of each view."""
    return [trunk(x) for trunk, x in zip(trunks(P, prefix, config), inputs)]


def joined(P, inputs, config, prefix="trunk"):
    return torch.cat(features(P, prefix, inputs, config), 1)


def expert(P, name, x):
    """The perceptron and its layer norm, or its input added: which, its parameters say."""
    out = linear(P, name + ".second", F.gelu(linear(P, name + ".first", x)))
    if name + ".norm.scale" in P:
        return layer_norm(P, name + ".norm", out)
    return out + (F.linear(x, P[name + ".skip.weight"]) if name + ".skip.weight" in P else x)


def experts(P, name, count, x):
    """List of expert outputs."""
    return [expert(P, f"{name}.{e}", x) for e in range(count)]


def weighted(weights, outputs):
    """sum_e w_e f_e for weights [B, E] and a list of E tensors [B, d]."""
    return sum(weights[:, e, None] * output for e, output in enumerate(outputs))


def gate(P, name, x):
    """A plain soft-max gate; a gate over one expert has no parameters."""
    if name + ".weight" not in P:
        return torch.ones(len(x), 1, dtype=x.dtype)
    return linear(P, name, x).softmax(1)


def top_k_softmax(logits, k):
    if k in (0, logits.shape[1]):
        return logits.softmax(1)
    kept = logits.topk(k, dim=1).indices
    masked = torch.full_like(logits, -math.inf).scatter(1, kept, logits.gather(1, kept))
    return masked.softmax(1)


def dbr(P, name, z, config):
    """(alpha, pi_shared, pi_private) of a Dual-control Branch Routing gate."""
    r = torch.cat([z, P[name + ".embedding"].expand(len(z), -1)], 1)
    control, uniform = config["branch_control"], config["expert_control"] == "uniform"

    def raw(part, count):
        if name + f".{part}.weight" in P:
            return linear(P, f"{name}.{part}", r)
        return torch.zeros(len(z), count, dtype=z.dtype)

    shared = raw("shared", config["shared_experts"])
    private = raw("private", config["private_experts"])
    if control == "flat":
        flat = torch.cat([shared, private], 1).softmax(1)
        s, p = flat.split([shared.shape[1], private.shape[1]], 1)
        alpha = torch.stack([s.sum(1), p.sum(1)], 1)
        return alpha, s / s.sum(1, keepdim=True), p / p.sum(1, keepdim=True)
    pi_s = top_k_softmax(shared, 0 if uniform else config["shared_top_k"])
    pi_p = top_k_softmax(private, 0 if uniform else config["private_top_k"])
    constant = {"fixed": (0.5, 0.5), "shared-only": (1.0, 0.0), "private-only": (0.0, 1.0)}
    if control in constant:
        alpha = torch.tensor([constant[control]], dtype=z.dtype).expand(len(z), 2)
    else:
        logits = linear(P, name + ".branch", r) / config["temperature"]
        alpha = logits.softmax(1) if control == "softmax" else logits.sigmoid()
    return alpha, pi_s, pi_p


def progressive(P, z, own, seen, seen_shared, names, layers, e_s, e_p, decide):
    """PLE's frame; `decide(name, h)` gives the weights of shared and private experts, and a record of the gate. In the first layer
    shared experts read z, private ones own[name], gates seen[name], and the gate of the shared experts seen_shared."""
    h_private, h_gate, h_shared, gate_shared = own, seen, z, seen_shared
    records = []
    for layer in range(layers):
        prefix = "" if layer == layers - 1 else f"layer{layer}."
        shared = experts(P, prefix + "shared", e_s, h_shared)
        private = {name: experts(P, f"{prefix}private.{name}", e_p, h_private[name]) for name in names}
        following, record = {}, []
        for name in names:
            w_s, w_p, kept = decide(f"{prefix}gate.{name}", h_gate[name])
            following[name] = weighted(w_s, shared) + weighted(w_p, private[name])
            record.append(kept)
        if layer < layers - 1:
            everything = shared + [output for name in names for output in private[name]]
            h_shared = gate_shared = weighted(gate(P, f"{prefix}gate.shared", gate_shared), everything)
        h_private = h_gate = following
        records.append(record)
    return h_gate, records


def owner_of(name):
    """The label dimension of a task; None for both."""
    if name in ("joint", "where"):
        return None
    return "region" if name == "region" else "metastasis"


def mt_ids(P, inputs, names, config):
    zs, c = features(P, "trunk", inputs, config), config["dbr"]
    control = c["branch_control"]
    e_s = 0 if control == "private-only" else c["shared_experts"]
    e_p = 0 if control == "shared-only" else c["private_experts"]

    def access(z, how):
        return {"trained": z, "detached": z.detach(), "hidden": z[:, :0]}[how]

    seen_as = "trained" if c["gate_gradient"] else "detached"
    own, seen = {}, {}
    for name in names:
        owns = [config["owners"][view] == "all" or owner_of(name) in (None, config["owners"][view]) for view in P.views]
        own[name] = torch.cat([access(z, "trained" if o else c["other_view"]) for z, o in zip(zs, owns)], 1)
        gate_other = "hidden" if c["gate_views"] == "own" else seen_as
        seen[name] = torch.cat([access(z, seen_as if o else gate_other) for z, o in zip(zs, owns)], 1)
    z = torch.cat(zs, 1)
    seen_shared = access(z, seen_as)

    def decide(name, h):
        alpha, pi_s, pi_p = dbr(P, name, h, c)
        record = (alpha, pi_s if e_s else None, pi_p if e_p else None)
        return alpha[:, :1] * pi_s, alpha[:, 1:] * pi_p, record

    if e_s and e_p:
        u, records = progressive(P, z, own, seen, seen_shared, names, c["layers"], e_s, e_p, decide)
    else:
        u, record = {}, []
        for name in names:
            w_s, w_p, kept = decide("gate." + name, seen[name])
            if e_s:
                u[name] = weighted(w_s, experts(P, "shared", e_s, z))
            else:
                u[name] = weighted(w_p, experts(P, "private." + name, e_p, own[name]))
            record.append(kept)
        records = [record]
    return [linear(P, "head." + name, u[name]) for name in names], records, []


def single_task(P, inputs, names, config):
    return [linear(P, "head." + name, joined(P, inputs, config, "trunk." + name)) for name in names], [], []


def hard_sharing(P, inputs, names, config):
    z = joined(P, inputs, config)
    return [linear(P, "head." + name, z) for name in names], [], []


def cross_stitch(P, inputs, names, config):
    of_task = {name: trunks(P, "trunk." + name, config) for name in names}
    found = {name: [] for name in names}
    for v, (view, x) in enumerate(zip(P.views, inputs)):
        prefix, of_view = P.named("stitch", view), [of_task[name][v] for name in names]
        maps = [trunk.stem(x) for trunk in of_view]
        for stage in range(of_view[0].stages):
            maps = [trunk.stage(stage, map) for trunk, map in zip(of_view, maps)]
            stacked = torch.stack(maps)
            # A row at a time, so that the graph tells which task a row serves.
            rows = [
                torch.cat([
                    P[f"{prefix}.stage{stage}.{name}.others"][:t],
                    P[f"{prefix}.stage{stage}.{name}.own"],
                    P[f"{prefix}.stage{stage}.{name}.others"][t:],
                ])
                for t, name in enumerate(names)
            ]
            maps = [torch.einsum("s,sbchw->bchw", row, stacked) for row in rows]
        for name, trunk, map in zip(names, of_view, maps):
            found[name].append(trunk.finish(map))
    return [linear(P, "head." + name, torch.cat(found[name], 1)) for name in names], [], []


def mtan(P, inputs, names, config):
    stages = []
    for trunk, x in zip(trunks(P, "trunk", config), inputs):
        maps, map = [], trunk.stem(x)
        for stage in range(trunk.stages):
            map = trunk.stage(stage, map)
            maps.append(map)
        stages.append((trunk, maps))
    logits = []
    for name in names:
        found = []
        for view, (trunk, maps) in zip(P.views, stages):
            masked, c = None, trunk.config
            for stage, p in enumerate(maps):
                part = P.named(f"attention.{name}", view) + f".stage{stage}"
                seen = p
                if masked is not None:
                    stride = 2 if masked.shape[-1] > p.shape[-1] else 1
                    seen = torch.cat([p, conv_norm(P, part + ".bridge", masked, stride, c, True)], 1)
                y = conv_norm(P, part + ".first", seen, 1, c, True)
                masked = conv_norm(P, part + ".second", y, 1, c, False).sigmoid() * p
            found.append(trunk.finish(masked))
        logits.append(linear(P, "head." + name, torch.cat(found, 1)))
    return logits, [], []


def mmoe(P, inputs, names, config):
    z = joined(P, inputs, config)
    f = experts(P, "shared", config["experts"]["count"], z)
    return [linear(P, "head." + n, weighted(gate(P, "gate." + n, z), f)) for n in names], [], []


def cgc(P, inputs, names, config, layers=1):
    e = config["experts"]

    def decide(name, h):
        w = gate(P, name, h)
        return w[:, : e["shared"]], w[:, e["shared"] :], None

    z = joined(P, inputs, config)
    every = {name: z for name in names}
    u, _ = progressive(P, z, every, every, z, names, layers, e["shared"], e["private"], decide)
    return [linear(P, "head." + name, u[name]) for name in names], [], []


def ple(P, inputs, names, config):
    return cgc(P, inputs, names, config, config["layers"])


def dselect_k(P, inputs, names, config):
    z = joined(P, inputs, config)
    count, k, gamma = config["experts"]["count"], config["selectors"], config["gamma"]
    f, bits = experts(P, "shared", count, z), math.ceil(math.log2(count))
    logits, terms = [], []
    for name in names:
        if config["per_sample"]:
            codes, mixture = linear(P, f"gate.{name}.code", z), linear(P, f"gate.{name}.mixture", z)
        else:
            codes = P[f"gate.{name}.code"].expand(len(z), -1)
            mixture = P[f"gate.{name}.mixture"].expand(len(z), -1)
        t = codes.reshape(len(z), k, bits)
        inside = -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5
        step = torch.where(t <= -gamma / 2, torch.zeros_like(t), torch.where(t >= gamma / 2, torch.ones_like(t), inside))
        selector = []
        for e in range(count):
            digits = [(e >> (bits - 1 - b)) & 1 for b in range(bits)]
            factors = [step[..., b] if digit else 1 - step[..., b] for b, digit in enumerate(digits)]
            selector.append(torch.stack(factors).prod(0))
        r = torch.stack(selector, 2)
        weights = (mixture.softmax(1)[..., None] * r).sum(1)
        logits.append(linear(P, "head." + name, weighted(weights, f)))
        entropy = -(r * (r + 1e-6).log()).sum((1, 2)).mean()
        terms.append(config["entropy_weight"] * entropy)
        if count & (count - 1):
            terms.append((1 / (r.sum(2) + 1e-6)).sum(1).mean())
    return logits, [], terms


def adatt(P, inputs, names, config):
    z, e, layers = joined(P, inputs, config), config["experts"], config["layers"]
    modules = [(name, "private." + name, e["private"]) for name in names] + [("shared", "shared", e["shared"])]
    h = {name: z for name, _, _ in modules}
    for layer in range(layers):
        prefix = "" if layer == layers - 1 else f"layer{layer}."
        own = {name: experts(P, prefix + group, count, h[name]) for name, group, count in modules}
        everything = [output for name, _, _ in modules for output in own[name]]
        following = {}
        for name, _, count in modules:
            if layer == layers - 1 and name == "shared":
                continue
            residual = P.get(f"{prefix}residual.{name}", torch.ones(1, count, dtype=z.dtype))
            fused = weighted(gate(P, f"{prefix}gate.{name}", h[name]), everything)
            following[name] = fused + sum(residual[0, i] * output for i, output in enumerate(own[name]))
        h = following
    return [linear(P, "head." + name, h[name]) for name in names], [], []


def stem(P, inputs, names, config):
    z, e = joined(P, inputs, config), config["experts"]
    shared = experts(P, "shared", e["shared"], z)
    own = {name: experts(P, "private." + name, e["private"], z) for name in names}
    logits = []
    for name in names:
        others = [output.detach() for other in names if other != name for output in own[other]]
        u = weighted(gate(P, "gate." + name, z), shared + own[name] + others)
        logits.append(linear(P, "head." + name, u))
    return logits, [], []


NETWORKS = {
    "mt-ids": mt_ids,
    "single-task": single_task,
    "hard-sharing": hard_sharing,
    "cross-stitch": cross_stitch,
    "mtan": mtan,
    "mmoe": mmoe,
    "cgc": cgc,
    "ple": ple,
    "dselect-k": dselect_k,
    "adatt": adatt,
    "stem": stem,
}
