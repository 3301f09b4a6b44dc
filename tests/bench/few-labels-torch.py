"""An ordinary PyTorch fine-tuning of a YOLOX-headed file by the trainer's own recipe, for comparison only.

Reads a job (JSON) from standard input: the starting file as Muninn would begin with it, pictures with their boxes, size, steps, rates
and seed. Writes the seconds that training took and the detections on the held-out pictures. Same start, losses, assignment (SimOTA),
optimiser, schedule, moving average and augmentation; another framework, random numbers and data loader.
"""
import json
import math
import sys
import time

import cv2
import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import numpy_helper

job = json.load(sys.stdin)
device = job["device"]
size, steps, classes, batch = job["size"], job["steps"], job["classes"], job["batch"]
torch.manual_seed(job["seed"])
cv2.setNumThreads(0)  # its threads do not survive the fork of the loader


class OnnxNet(nn.Module):
    """Runs the nodes from `image` to the rows; filters and biases of convolutions are parameters."""

    def __init__(self, path):
        super().__init__()
        graph = onnx.load(path).graph
        meta = json.loads({p.key: p.value for p in onnx.load(path).metadata_props}["muninn"])
        self.rows, self.strides = meta["rows"], meta["strides"]
        makers = {o: n for n in graph.node for o in n.output}
        wanted, todo = set(), [self.rows]
        while todo:
            node = makers.get(todo.pop())
            if node is not None and id(node) not in wanted:
                wanted.add(id(node))
                todo.extend(node.input)
        self.nodes = [n for n in graph.node if id(n) in wanted]
        self.heads = {c[k] for c in meta["classifiers"] for k in ("weight", "bias")}
        trained = {name for n in self.nodes if n.op_type == "Conv" for name in n.input[1:]}
        self.constants, self.slots, self.weights = {}, {}, nn.ParameterList()
        for tensor in graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            if tensor.name in trained:
                self.slots[tensor.name] = len(self.weights)
                last = torch.channels_last if value.dim() == 4 else torch.contiguous_format
                self.weights.append(nn.Parameter(value.contiguous(memory_format=last)))
            else:
                self.constants[tensor.name] = value
        self.attributes = [{a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in self.nodes]

    def forward(self, image):
        values = {"image": image}

        def get(name):
            if name in values:
                return values[name]
            return self.weights[self.slots[name]] if name in self.slots else self.constants[name]

        for node, attribute in zip(self.nodes, self.attributes):
            x = [get(name) for name in node.input if name]
            values[node.output[0]] = self.run(node.op_type, x, attribute)
        return values[self.rows]

    def run(self, op, x, attribute):
        if op == "Conv":
            pads = attribute.get("pads", [0, 0, 0, 0])
            return F.conv2d(
                x[0], x[1], x[2], attribute.get("strides", [1, 1]), pads[:2], attribute.get("dilations", [1, 1]), attribute.get("group", 1)
            )
        if op == "Sigmoid":
            return torch.sigmoid(x[0])
        if op == "Mul":
            return x[0] * x[1]
        if op == "Add":
            return x[0] + x[1]
        if op == "Concat":
            return torch.cat(x, attribute["axis"])
        if op == "MaxPool":
            return F.max_pool2d(x[0], attribute["kernel_shape"], attribute["strides"], attribute["pads"][:2])
        if op == "Resize":
            return F.interpolate(x[0], scale_factor=2, mode="nearest")
        if op == "Reshape":
            # 0 copies the input's size; the batch is the training's.
            shape = [x[0].shape[i] if v == 0 else int(v) for i, v in enumerate(x[1])]
            return x[0].reshape([x[0].shape[0]] + shape[1:])
        if op == "Transpose":
            y = x[0].permute(attribute["perm"])
            return y.contiguous(memory_format=torch.channels_last) if y.dim() == 4 else y
        if op == "Cast":
            return x[0].float()
        if op == "Slice":
            y = x[0]
            jumps = x[4].tolist() if len(x) > 4 else [1] * len(x[1])
            for start, end, axis, jump in zip(x[1].tolist(), x[2].tolist(), x[3].tolist(), jumps):
                if jump < 0:
                    y = torch.flip(y, [axis])
                else:
                    y = y[(slice(None),) * axis + (slice(start, end, jump),)]
            return y
        raise NotImplementedError(op)


def cells_of(strides):
    out = []
    for stride in strides:
        n = size // stride
        y, x = np.mgrid[0:n, 0:n]
        out.append(np.stack([(x.ravel() + 0.5) * stride, (y.ravel() + 0.5) * stride, np.full(n * n, stride)], 1))
    return out


def iou_np(a, b):
    w = np.minimum(a[:, 2], b[2]) - np.maximum(a[:, 0], b[0])
    h = np.minimum(a[:, 3], b[3]) - np.maximum(a[:, 1], b[1])
    inter = np.clip(w, 0, None) * np.clip(h, 0, None)
    area = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[2] - b[0]) * (b[3] - b[1])
    return inter / (area - inter)


class Batches(torch.utils.data.Dataset):
    """A step's pictures and targets: mosaic for half of them until the last fifth, one picture otherwise, some as they are."""

    def __init__(self):
        self.kept = {}

    def __len__(self):
        return steps

    def load(self, i):
        if i not in self.kept:
            sample = job["samples"][i]
            image = cv2.cvtColor(cv2.imread(sample["path"]), cv2.COLOR_BGR2RGB)
            scale = min(size * 1.5 / image.shape[1], size * 1.5 / image.shape[0], 1)
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
            boxes = np.array([label["box"] for label in sample["labels"]], np.float32).reshape(-1, 4) * scale
            self.kept[i] = (image, boxes, np.array([label["label"] for label in sample["labels"]], np.int64))
        return self.kept[i]

    def draw(self, canvas, item, scale, x, y, mirrored, window):
        image, boxes, labels = item
        h, w = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
        small = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        boxes = boxes * scale
        if mirrored:
            small = small[:, ::-1]
            boxes = np.stack([w - boxes[:, 2], boxes[:, 1], w - boxes[:, 0], boxes[:, 3]], 1)
        x0, y0, x1, y1 = max(window[0], x), max(window[1], y), min(window[2], x + w), min(window[3], y + h)
        if x1 <= x0 or y1 <= y0:
            return boxes[:0], labels[:0]
        canvas[y0:y1, x0:x1] = small[y0 - y : y1 - y, x0 - x : x1 - x]
        moved = boxes + np.array([x, y, x, y], np.float32)
        seen = np.stack([moved[:, i].clip(window[i % 2], window[2 + i % 2]) for i in range(4)], 1)
        area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        keep = (area(seen) >= 0.3 * area(moved)) & (area(seen) > 4)
        return seen[keep], labels[keep]

    def picture(self, random, first, mosaics):
        canvas = np.full((size, size, 3), 114, np.uint8)
        fit = lambda item: min(size / item[0].shape[1], size / item[0].shape[0])
        chance = random.random()
        if chance >= 0.85:
            return canvas, *self.draw(canvas, first, fit(first), 0, 0, False, (0, 0, size, size))
        if chance >= mosaics:
            scale = fit(first) * random.uniform(0.6, 1.5)
            x, y = (round((size - side * scale) * random.random()) for side in (first[0].shape[1], first[0].shape[0]))
            boxes, labels = self.draw(canvas, first, scale, x, y, random.random() < 0.5, (0, 0, size, size))
        else:
            cx, cy = round(size * random.uniform(0.3, 0.7)), round(size * random.uniform(0.3, 0.7))
            parts = []
            for i, window in enumerate([(0, 0, cx, cy), (cx, 0, size, cy), (0, cy, cx, size), (cx, cy, size, size)]):
                item = first if i == 0 else self.load(random.integers(len(job["samples"])))
                scale = fit(item) * random.uniform(0.5, 1.2)
                h, w = item[0].shape[0] * scale, item[0].shape[1] * scale
                x = round(window[0] + (window[2] - window[0] - w) * random.random())
                y = round(window[1] + (window[3] - window[1] - h) * random.random())
                parts.append(self.draw(canvas, item, scale, x, y, random.random() < 0.5, window))
            boxes, labels = (np.concatenate(each) for each in zip(*parts))
        value = canvas.astype(np.float32)
        luma = value @ np.array([0.299, 0.587, 0.114], np.float32)
        saturation, contrast, bright = random.uniform(0.5, 1.5), random.uniform(0.7, 1.3), random.uniform(-30, 30)
        value = (luma[..., None] + (value - luma[..., None]) * saturation) * random.uniform(0.92, 1.08, 3).astype(np.float32)
        return np.clip((value - 128) * contrast + 128 + bright, 0, 255).astype(np.uint8), boxes, labels

    def __getitem__(self, step):
        random = np.random.default_rng([job["seed"], step])
        n = len(job["samples"])
        pictures, truths = [], []
        for i in range(batch):
            at = step * batch + i
            order = np.random.default_rng([job["seed"], 999, at // n]).permutation(n)
            image, boxes, labels = self.picture(random, self.load(order[at % n]), 0.5 if step < steps * 0.8 else 0)
            pictures.append(image)
            big = (boxes[:, 2] - boxes[:, 0] >= 2) & (boxes[:, 3] - boxes[:, 1] >= 2)
            boxes, labels = boxes[big], labels[big]
            truths.append((torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy(labels)))
        return torch.from_numpy(np.stack(pictures)), truths


def decode(raw, centre):
    xy = raw[..., :2] * centre[..., 2:] + centre[..., :2] - centre[..., 2:] / 2
    half = raw[..., 2:4].clamp(-8, 8).exp() * centre[..., 2:] / 2
    return torch.cat([xy - half, xy + half], -1)


def overlaps(a, b):
    wh = (torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])).clamp(min=0)
    area = lambda c: (c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1])
    inter = wh[..., 0] * wh[..., 1]
    return inter / (area(a) + area(b) - inter + 1e-6)


@torch.no_grad()
def sim_ota(out, cells, boxes, labels):
    """Cells of a picture that answer for a box, and for which one (Ge et al. 2021)."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = ((cells[None, :, :2] - middle[:, None]).abs() < 1.5 * cells[None, :, 2:]).all(2)
    some = torch.nonzero(near.any(0))[:, 0]
    near, mine = near[:, some], out[some]
    iou = overlaps(boxes[:, None], decode(mine, cells[some])[None])
    score = (mine[:, 5:].sigmoid() * mine[:, 4:5].sigmoid()).sqrt()
    wanted = F.one_hot(labels, classes).float()[:, None].expand(-1, len(some), -1)
    surprise = F.binary_cross_entropy(score[None].expand_as(wanted), wanted, reduction="none").sum(2)
    cost = surprise - 3 * torch.log(iou + 1e-8) + 1e6 * ~near
    several = (iou * near).topk(min(10, len(some)), 1)[0].sum(1).int().clamp(min=1)
    chosen = torch.zeros_like(near)
    for k, count in enumerate(several.tolist()):
        chosen[k, cost[k].topk(min(count, int(near[k].sum())), largest=False)[1]] = True
    twice = chosen.sum(0) > 1
    chosen[:, twice] = F.one_hot(cost[:, twice].argmin(0), len(boxes)).T.bool()
    truth, cell = torch.nonzero(chosen, as_tuple=True)
    return some[cell], truth


def loss_of(out, cells, truths):
    found = [sim_ota(rows, cells, *each) if len(each[0]) else (torch.zeros(0, dtype=torch.int64, device=device),) * 2 for rows, each in zip(out, truths)]
    rows = torch.cat([i * len(cells) + cell for i, (cell, _) in enumerate(found)])
    target = torch.cat([boxes[truth] for (boxes, _), (_, truth) in zip(truths, found)])
    hot = torch.cat([labels[truth] for (_, labels), (_, truth) in zip(truths, found)])
    flat = out.reshape(-1, out.shape[-1])
    chosen = flat[rows]
    iou = overlaps(decode(chosen, cells[rows % len(cells)]), target)
    wanted = torch.zeros_like(flat[:, 4])
    wanted[rows] = 1
    quality = F.one_hot(hot, classes) * iou.detach().clamp(min=0)[:, None]
    terms = (
        5 * (1 - iou**2).sum()
        + F.binary_cross_entropy_with_logits(flat[:, 4], wanted, reduction="sum")
        + F.binary_cross_entropy_with_logits(chosen[:, 5:], quality, reduction="sum")
    )
    return terms / max(1, len(rows))


net = OnnxNet(job["model"]).to(device)
net.constants = {name: value.to(device) if value.is_floating_point() else value for name, value in net.constants.items()}
cells = torch.from_numpy(np.concatenate(cells_of(net.strides)).astype(np.float32)).to(device)
names = {slot: name for name, slot in net.slots.items()}
groups = [
    {
        "params": [p],
        "scale": (1 if names[i] in net.heads else 0.6) * job["stageRates"][names[i]],
        "weight_decay": 0.02 if p.dim() > 1 else 0,
    }
    for i, p in enumerate(net.weights)
]
optimizer = torch.optim.AdamW(groups, lr=job["rate"])
average = [p.detach().clone() for p in net.weights]
warm = min(100, math.ceil(steps * 0.05))
loader = torch.utils.data.DataLoader(Batches(), batch_size=None, num_workers=1, prefetch_factor=4)
begun = time.perf_counter()
for step, (images, truths) in enumerate(loader):
    share = (step - warm) / max(1, steps - warm)
    rate = job["rate"] * ((step + 1) / warm if step < warm else 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    loss = loss_of(net(images.to(device)), cells, [[each.to(device) for each in truth] for truth in truths])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 35)
    optimizer.step()
    decay = min(0.998, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(average, list(net.weights), 1 - decay)
seconds = time.perf_counter() - begun

with torch.no_grad():
    for p, value in zip(net.weights, average):
        p.copy_(value)
found = []
for path in job["heldOut"]:
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    scale = min(size / image.shape[1], size / image.shape[0])
    canvas = np.full((size, size, 3), 114, np.uint8)
    small = cv2.resize(image, (int(image.shape[1] * scale + 1e-6), int(image.shape[0] * scale + 1e-6)), interpolation=cv2.INTER_LINEAR)
    canvas[: small.shape[0], : small.shape[1]] = small
    with torch.no_grad():
        out = net(torch.from_numpy(canvas[None]).to(device))[0]
    boxes = decode(out, cells).cpu().numpy()
    scores = (out[:, 5:].sigmoid() * out[:, 4:5].sigmoid()).cpu().numpy()
    best = scores.max(1)
    order = [i for i in np.argsort(-best, kind="stable") if best[i] > 0.05]
    kept = []
    while order and len(kept) < 300:
        i = order.pop(0)
        kept.append(i)
        if order:
            overlap = iou_np(boxes[order], boxes[i])
            order = [j for j, o in zip(order, overlap) if o <= 0.45]
    limit = np.array([image.shape[1], image.shape[0]] * 2)
    found.append(
        [
            {"box": [float(v) for v in np.clip(boxes[i] / scale, 0, limit)], "label": int(scores[i].argmax()), "score": float(best[i])}
            for i in kept
        ]
    )
json.dump({"seconds": seconds, "found": found}, sys.stdout)
