"""PyTorch's side of train.ts, for comparison only: the same networks, losses of the same form, AdamW.

    train-torch.py CASE SIZE BATCH CLASSES THREADS FORMAT DEVICE [MODEL]

CASE `plain` is the built-in detector layer by layer; `yolox` interprets the nodes of the ONNX file MODEL, so that it is exactly the same
network. FORMAT is channels_last or nchw, DEVICE cpu or cuda. Reads lines from standard input: `step N` prints the milliseconds of wall and
of processor time that each of N steps took, `memory` the peak resident memory in MB.
"""
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

case = sys.argv[1]
size, batch, classes, threads = map(int, sys.argv[2:6])
memory_format = torch.channels_last if sys.argv[6] == "channels_last" else torch.contiguous_format
device = torch.device(sys.argv[7])
torch.set_num_threads(threads)
torch.set_flush_denormal(True)
torch.manual_seed(1)
# It warns at every convolution on processors it does not know.
torch.backends.nnpack.set_flags(False)


class Unit(nn.Module):
    def __init__(self, i, o, k, s=1):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, s, (k - 1) // 2, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(Unit):
    def __init__(self, c):
        super().__init__(c, c, 3)

    def forward(self, x):
        return x + super().forward(x)


class Plain(nn.Module):
    lead = 4

    def __init__(self):
        super().__init__()
        self.stem = Unit(3, 16, 3, 2)
        self.s4 = nn.Sequential(Unit(16, 32, 3, 2), Block(32))
        self.s8 = nn.Sequential(Unit(32, 64, 3, 2), Block(64), Block(64))
        self.s16 = nn.Sequential(Unit(64, 128, 3, 2), Block(128), Block(128))
        self.s32 = nn.Sequential(Unit(128, 160, 3, 2), Block(160))
        self.lateral = nn.ModuleList([Unit(c, 64, 1) for c in (64, 128, 160)])
        self.smooth = nn.ModuleList([Unit(64, 64, 3) for _ in range(3)])
        self.towers = nn.ModuleList([nn.ModuleList([Unit(64, 64, 3), Unit(64, 64, 3)]) for _ in range(3)])
        self.box = nn.ModuleList([nn.Conv2d(64, 4, 1) for _ in range(3)])
        self.kind = nn.ModuleList([nn.Conv2d(64, classes, 1) for _ in range(3)])

    def forward(self, x):
        x = self.s4(self.stem((x - 128) / 64))
        c8 = self.s8(x)
        c16 = self.s16(c8)
        c32 = self.s32(c16)
        p32 = self.lateral[2](c32)
        p16 = self.lateral[1](c16) + F.interpolate(p32, scale_factor=2)
        p8 = self.lateral[0](c8) + F.interpolate(p16, scale_factor=2)
        rows = []
        for i, p in enumerate((p8, p16, p32)):
            p = self.smooth[i](p)
            b, k = self.towers[i]
            rows.append(torch.cat([self.box[i](b(p)), self.kind[i](k(p))], 1).flatten(2))
        return torch.cat(rows, 2).transpose(1, 2).flatten(0, 1)

    def loss(self, rows, index, target, label):
        d = rows[index, :4].clamp(-8, 8).exp() * 8
        c = torch.full_like(d[:, :1], 100.0)
        iou, giou = overlaps(torch.cat([c - d[:, :1], c - d[:, 1:2], c + d[:, 2:3], c + d[:, 3:4]], 1), target)
        logits = rows[:, 4:]
        wanted = torch.zeros_like(logits)
        wanted[index, label] = iou.detach().clamp(min=0)
        error = wanted - logits.sigmoid()
        quality = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * error**2
        return (2 * (1 - giou).sum() + quality.sum()) / len(index)


class Interpreted(nn.Module):
    """An ONNX file node by node; its last sigmoids are left out, as in training on logits."""

    lead = 5

    def __init__(self, path):
        super().__init__()
        import onnx
        from onnx import helper, numpy_helper

        graph = onnx.load(path).graph
        arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        # Integers are bounds of slices, which are read here.
        self.values = {n: torch.tensor(a, device=device if a.dtype.kind == "f" else "cpu") for n, a in arrays.items()}
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.weights = nn.ParameterDict()
        self.nodes = []
        uses = {}
        for node in graph.node:
            for name in node.input:
                uses.setdefault(name, []).append(node)
        silu = {}
        for node in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Conv":
                for name in node.input[1:3]:
                    self.weights[name.replace(".", "/")] = nn.Parameter(self.values[name])
            op = node.op_type
            if op == "Sigmoid":
                # x * sigmoid(x) as one op, as the network was written; a sigmoid before a Concat belongs to the head.
                op = "Skip" if uses[node.output[0]][0].op_type == "Concat" else None
                if op is None:
                    silu[node.output[0]] = node.input[0]
            if op == "Mul" and node.input[1] in silu and silu[node.input[1]] == node.input[0]:
                op = "Silu"
            if op:
                self.nodes.append((op, list(node.input), node.output[0], attributes))

    def forward(self, x):
        v = {**self.values, self.input: x}
        w = lambda name: self.weights[name.replace(".", "/")]
        for op, i, o, a in self.nodes:
            if op == "Conv":
                v[o] = F.conv2d(v[i[0]], w(i[1]), w(i[2]), a["strides"], a["pads"][:2], a["dilations"], a["group"])
            elif op == "Silu":
                v[o] = F.silu(v[i[0]])
            elif op == "Skip":
                v[o] = v[i[0]]
            elif op == "Concat":
                v[o] = torch.cat([v[n] for n in i], a["axis"])
            elif op == "Add":
                v[o] = v[i[0]] + v[i[1]]
            elif op == "MaxPool":
                v[o] = F.max_pool2d(v[i[0]], a["kernel_shape"], a["strides"], a["pads"][:2])
            elif op == "Resize":
                v[o] = F.interpolate(v[i[0]], scale_factor=2)
            elif op == "Slice":
                start, end, axis, step = (int(v[n][0]) for n in i[1:])
                cut = [slice(None)] * 4
                cut[axis] = slice(start, min(end, x.shape[axis]), step)
                v[o] = v[i[0]][tuple(cut)]
            elif op == "Reshape":
                v[o] = v[i[0]].flatten(2)
            elif op == "Transpose":
                v[o] = v[i[0]].permute(a["perm"])
            else:
                raise ValueError(op)
        return v[self.output].flatten(0, 1)

    def loss(self, rows, index, target, label):
        chosen = rows[index]
        centre = chosen[:, :2] * 8 + 100
        half = chosen[:, 2:4].clamp(-8, 8).exp() * 4
        iou, _ = overlaps(torch.cat([centre - half, centre + half], 1), target)
        wanted = torch.zeros_like(rows[:, 4])
        wanted[index] = 1
        quality = F.one_hot(label, classes) * iou.detach().clamp(min=0)[:, None]
        entropy = F.binary_cross_entropy_with_logits
        parts = 5 * (1 - iou**2).sum() + entropy(rows[:, 4], wanted, reduction="sum") + entropy(chosen[:, 5:], quality, reduction="sum")
        return parts / len(index)


def overlaps(a, b):
    lt, rb = torch.max(a[:, :2], b[:, :2]), torch.min(a[:, 2:], b[:, 2:])
    wh = (rb - lt).clamp(min=0)
    inter = wh[:, 0] * wh[:, 1]
    area = lambda box: (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    union = area(a) + area(b) - inter + 1e-6
    iou = inter / union
    hull = torch.max(a[:, 2:], b[:, 2:]) - torch.min(a[:, :2], b[:, :2])
    hull = hull[:, 0] * hull[:, 1] + 1e-6
    return iou, iou - (hull - union) / hull


net = (Interpreted(sys.argv[8]) if case == "yolox" else Plain()).to(device, memory_format=memory_format)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.02, fused=True)
image = torch.randint(0, 256, (batch, 3, size, size)).float().to(device).contiguous(memory_format=memory_format)
rows = sum((size // s) ** 2 for s in (8, 16, 32)) * batch
index = torch.randperm(rows)[: 40 * batch].to(device)
target = torch.rand(len(index), 4, device=device).sort(1).values * 200
label = torch.randint(0, classes, (len(index),), device=device)


def step():
    loss = net.loss(net(image), index, target, label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


for line in sys.stdin:
    command, *rest = line.split()
    if command == "memory":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
        continue
    begun, used = time.perf_counter(), time.process_time()
    for _ in range(int(rest[0])):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    print((time.perf_counter() - begun) * 1000 / int(rest[0]), (time.process_time() - used) * 1000 / int(rest[0]), flush=True)
