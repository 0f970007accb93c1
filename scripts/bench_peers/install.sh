#!/bin/sh
# Installs the peers into a virtual environment, WORK/install; called by
# bench_peers.sh.
# usage: install.sh WORK
set -eu
work=$1
peers=$(cd "$(dirname "$0")" && pwd -P)
scripts=${peers%/*}
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/tools.sh
. "$scripts/tools.sh"
task='installing the peers'

have python3 || need python3 python3 python python3
check_needs
say 'installing PyTorch and transformers, which takes a while'
attempt "can't make a virtual environment (above is what Python says); Debian and Ubuntu: apt-get install python3-venv" \
	python3 -m venv "$work/install"
attempt "can't install the peers (above is what pip says): check the network and pip's settings, then run this again" \
	"$work/install/bin/python" -m pip install --disable-pip-version-check -r "$peers/requirements.txt"
cp "$peers/requirements.txt" "$work/install/build-info"
