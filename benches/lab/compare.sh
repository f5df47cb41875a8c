#!/bin/bash
# rhumb beside its peers and bare loops, in the lab's paired test: compare.sh LAB [ROUNDS] [PEER...]
# LAB is the folder of the performance lab, set up; PEERs are its targets, gdnsd and knot unless given.
# WL="static ecs src" are the workloads.
set -e
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lab=$(cd "$1" && pwd)
rounds=${2:-12}
peers=("${@:3}")
[ ${#peers[@]} -gt 0 ] || peers=(gdnsd knot)
cargo build --release --manifest-path "$root/Cargo.toml" --bin rhumb --example echo --example flip
examples=$root/target/release/examples
captured=$(mktemp)
trap 'rm -f "$captured"' EXIT
# The label's word `echo` tells the load generator that answers come back without an answer section.
WL=${WL:-static ecs src} OUT=${OUT:-$lab/out} "$lab/paired.sh" "$rounds" "${peers[@]}" \
    "cmd:rhumb:$here/serve.sh @PORT@ @DB@" \
    "cmd:rhumb-apart:env UDP_SEGMENTATION=false $here/serve.sh @PORT@ @DB@" \
    "cmd:rhumb-wildcard:$here/serve.sh @PORT@ @DB@ 0.0.0.0" \
    "cmd:echo:$examples/echo 127.0.0.1:@PORT@" \
    "cmd:echo-wildcard:$examples/echo 0.0.0.0:@PORT@" \
    "cmd:echo-listeners:$examples/flip 127.0.0.1:@PORT@" | tee "$captured"
python3 "$lab/summarize.py" "$captured"
python3 "$here/shares.py" "$captured" "${peers[0]}"
