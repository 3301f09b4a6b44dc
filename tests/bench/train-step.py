"""The built-in detector's training step in PyTorch, for comparison only: same layers, losses of the same shape, AdamW, channels_last.

Reads counts of steps from standard input and prints the milliseconds a step took.
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

size, batch, classes = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(1)


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


class Net(nn.Module):
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


net = Net().to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.02)
image = torch.randint(0, 256, (batch, 3, size, size)).float().contiguous(memory_format=torch.channels_last)
rows = sum((size // s) ** 2 for s in (8, 16, 32)) * batch
index = torch.randperm(rows)[: 40 * batch]
target = torch.rand(len(index), 4).sort(1).values * 200
label = torch.randint(0, classes, (len(index),))


def step():
    out = net(image)
    d = out[index, :4].clamp(-8, 8).exp() * 8
    c = torch.full_like(d[:, :1], 100.0)
    box = torch.cat([c - d[:, :1], c - d[:, 1:2], c + d[:, 2:3], c + d[:, 3:4]], 1)
    lt, rb = torch.max(box[:, :2], target[:, :2]), torch.min(box[:, 2:], target[:, 2:])
    wh = (rb - lt).clamp(min=0)
    inter = wh[:, 0] * wh[:, 1]
    area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = area(box) + area(target) - inter + 1e-6
    iou = inter / union
    hull = torch.max(box[:, 2:], target[:, 2:]) - torch.min(box[:, :2], target[:, :2])
    hull = hull[:, 0] * hull[:, 1] + 1e-6
    giou = iou - (hull - union) / hull
    logits = out[:, 4:]
    wanted = torch.zeros_like(logits)
    wanted[index, label] = iou.detach().clamp(min=0)
    error = wanted - logits.sigmoid()
    loss = (2 * (1 - giou).sum() + (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * error**2).sum()) / len(index)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


for line in sys.stdin:
    n = int(line)
    begun = time.perf_counter()
    for _ in range(n):
        step()
    print((time.perf_counter() - begun) * 1000 / n, flush=True)
