"""The same work in PyTorch: python reference.py eager|compiled "train A" THREADS.

Prints tokens a second, tokens a second of processor time, and the peak memory in MB.
"""

import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

MODELS = {  # vocabulary, width, layers, heads, MLP, length, batch
    "A": (512, 128, 4, 4, 352, 128, 32),
    "B": (2048, 256, 6, 8, 704, 256, 16),
}


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-5)


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), -1)
    return x * cos + turned * sin


class Block(nn.Module):
    def __init__(self, width, heads, mlp):
        super().__init__()
        self.heads = heads
        self.attn_norm, self.mlp_norm = Norm(width), Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * mlp, bias=False)
        self.down = nn.Linear(mlp, width, bias=False)

    def forward(self, x, cos, sin, cache=None, position=0):
        batch, length, width = x.shape
        qkv = self.qkv(self.attn_norm(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is None:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            cache[0][:, :, position : position + 1] = k
            cache[1][:, :, position : position + 1] = v
            seen = position + 1
            out = F.scaled_dot_product_attention(q, cache[0][:, :, :seen], cache[1][:, :, :seen])
        x = x + self.o(out.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, vocab, width, layers, heads, mlp, length, _batch):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, heads, mlp) for _ in range(layers))
        self.norm = Norm(width)
        size = width // heads
        angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(0, size, 2) / size))
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, caches=None, position=0):
        x = self.embed(tokens)
        rows = slice(position, position + tokens.shape[1])
        for index, block in enumerate(self.blocks):
            cache = None if caches is None else caches[index]
            x = block(x, self.cos[rows], self.sin[rows], cache, position)
        return F.linear(self.norm(x), self.embed.weight)


def train(model, shape, compiled, name):
    vocab, length, batch = shape[0], shape[5], shape[6]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    step_of = torch.compile(model) if compiled else model
    tokens = torch.randint(vocab, (batch, length + 1))

    def step():
        logits = step_of(tokens[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, vocab), tokens[:, 1:].reshape(-1))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return speeds(batch * length, step, 7 if name == "A" else 4, 2)


@torch.inference_mode()
def generate(model, shape, compiled):
    _, width, layers, heads = shape[:4]
    step_of = torch.compile(model, dynamic=True) if compiled else model
    cache_shape = (64, heads, 64, width // heads)

    def batch():
        caches = [(torch.empty(cache_shape), torch.empty(cache_shape)) for _ in range(layers)]
        tokens = torch.ones((64, 1), dtype=torch.long)
        for position in range(64):
            logits = step_of(tokens, caches, position)[:, -1]
            tokens = torch.multinomial(torch.softmax(logits, -1), 1)

    return speeds(64 * 64, batch, 5, 1)


def speeds(tokens, work, timed, warm):
    for _ in range(warm):
        work()
    seconds, before = [], time.process_time()
    for _ in range(timed):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    effort = time.process_time() - before
    return tokens / statistics.median(seconds), tokens * timed / effort


def main():
    mode, work, threads = sys.argv[1:]
    what, name = work.split()
    torch.manual_seed(1)
    torch.set_num_threads(int(threads))
    model = Model(*MODELS[name])
    compiled = mode == "compiled"
    speed = train(model, MODELS[name], compiled, name) if what == "train" else generate(model, MODELS[name], compiled)
    with open("/proc/self/status", encoding="utf-8") as status:
        peak = next(line for line in status if line.startswith("VmHWM:")).split()[1]
    print(*speed, int(peak) / 1024)


main()
