#!/bin/sh
# Compares the gated delta rule with Hugging Face's on this machine's CPU.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd -P)
root=${scripts%/*}
peers=$scripts/bench_peers
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
task='the comparison'

usage() {
	cat <<'EOF'
usage: sh scripts/bench_peers.sh [--rounds N] [--shape B,T,Hk,Hv,K,V]... [--pass fwd|fwdbwd]... [--threads N]... [--limit SECONDS] [--no-compile]

Runs Hugging Face's torch_chunk_gated_delta_rule (eager and under torch.compile,
on 1 and 2 threads) and examples/bench in turns, five rounds unless --rounds says
otherwise, and prints tokens per second side by side and whether the targets are
met. Of this project two columns run: deltatape, which chooses its implementation,
and the op graph (-impl chunk). Targets and the ratio are of the first. The exit
code is 1 if a target is missed or something fails.

The peers are installed by pip, in pinned versions, into a virtual environment in
the user's cache folder that nothing else uses. pip's settings are honoured. On
Linux x86-64 the PyTorch of PyPI comes with 3 GB of CUDA; an index of plain CPU
builds can be named in PIP_EXTRA_INDEX_URL.

Environment:
  DELTATAPE_CACHE  the cache folder, instead of the system's
EOF
}

for argument; do
	case $argument in
	-h | --help)
		usage
		exit
		;;
	esac
done

platform
cache_root
env=$cache/peers-$(sha256 <"$peers/requirements.txt" | cut -c 1-16)
install "$env" sh "$peers/install.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
(cd "$root" && go build -o "$work/bench" ./examples/bench) || die "examples/bench does not build (above is what Go says)"
export TORCHINDUCTOR_CACHE_DIR="$env/inductor" # what is compiled once is there the next time
"$env/bin/python" "$peers/compare.py" --bench "$work/bench" --python "$env/bin/python" "$@"
