"""A Python program with a heap full of holes that reports what its allocator counts.

It prints one line of JSON, then the text of sys._debugmallocstats(), then "end". From the statistics on it allocates nothing,
and waits until its standard input ends. Runs in 3.8 and later.

Usage: heap.py [--objects N] [--threads N] [--interpreters N] [--churn]
"""

import argparse
import gc
import json
import os
import sys
import threading

parser = argparse.ArgumentParser()
parser.add_argument("--objects", type=int, default=200_000)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--interpreters", type=int, default=0)
parser.add_argument("--churn", action="store_true")
options = parser.parse_args()


def fill(count):
    """Objects of many sizes, of which two in three are freed again in a pattern that leaves holes."""
    kept = [(bytes(index % 480), {index: str(index)}, [index]) for index in range(count)]
    for index in range(count):
        if index % 3 or index % 1000 < 150:
            kept[index] = None
    return kept


def deep(depth):
    """Takes several chunks of frames."""
    return 0 if depth == 0 else 1 + deep(depth - 1)


def churn():
    """Allocates and frees without end."""
    kept = {}
    number = 0
    while True:
        kept[number % 50_000] = [number] * (number % 60)
        number += 7919


objects = fill(options.objects)
large = [bytearray(300_000 + 4096 * index) for index in range(10)]
deep(500)
gc.collect()

forever = threading.Event()
for _ in range(options.threads):
    threading.Thread(target=forever.wait, daemon=True).start()
interpreters = []
if options.interpreters:
    try:
        import _interpreters as module
    except ImportError:
        import _xxsubinterpreters as module
    for _ in range(options.interpreters):
        interpreters.append(module.create())
        module.run_string(interpreters[-1], "kept = [[index] for index in range(50_000)]")

# The statistics go to the standard error.
os.dup2(1, 2)
write = os.write
wait = open(0, "rb", buffering=0).readinto
buffer = bytearray(1)
print(json.dumps({"pid": os.getpid(), "version": list(sys.version_info[:3])}), flush=True)
sys._debugmallocstats()
write(1, b"end\n")
if options.churn:
    threading.Thread(target=churn, daemon=True).start()
wait(buffer)
