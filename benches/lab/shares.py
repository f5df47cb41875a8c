#!/usr/bin/env python3
"""CPU per query as a share of one server's: shares.py CAPTURED [SERVER], gdnsd unless given.

Each round has its own share, since all servers of a round met the same weather; the table has their medians, and
in brackets the middle half.
"""

import re
import statistics
import sys

LINE = re.compile(r"^(\S+)/(\w+)/(\d+)\s.*?cpu_ns=(\d+)")

captured, base = sys.argv[1], (sys.argv[2:] or ["gdnsd"])[0]
with open(captured) as lines:
    found = [LINE.match(line) for line in lines]
cpu = {(m[1], m[2], m[3]): int(m[4]) for m in found if m}
servers = sorted({server for server, _, _ in cpu})
workloads = list(dict.fromkeys(workload for _, workload, _ in cpu))

print("| server | " + " | ".join(workloads) + " |")
print("| --- |" + " --- |" * len(workloads))
for server in servers:
    cells = []
    for workload in workloads:
        rounds = [r for (s, w, r) in cpu if (s, w) == (server, workload) and (base, workload, r) in cpu]
        shares = [cpu[server, workload, r] / cpu[base, workload, r] for r in rounds]
        if len(shares) < 2:
            cells.append("")
            continue
        first, median, last = statistics.quantiles(shares, n=4)
        cells.append(f"{median:.2f} ({first:.2f} to {last:.2f})")
    print(f"| {server} | " + " | ".join(cells) + " |")
