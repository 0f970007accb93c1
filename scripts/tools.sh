# What the builders share: tools and wheels. They read common.sh in before, and
# set work to their work folder.
# shellcheck shell=sh disable=SC2154 # mlx, mlxc, scripts and work are set there

log=$work/log
host=$(uname -s)

# attempt runs a command quietly; if it fails, the end of what it said is shown.
attempt() {
	what=$1
	shift
	"$@" >"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	die "$what"
}

# have tells whether a tool is there. A Mac without its developer tools has hollow
# ones in /usr/bin, which do nothing but open a dialog.
have() {
	path=$(command -v "$1" 2>/dev/null) || return 1
	[ "$host" != Darwin ] || xcode-select -p >/dev/null 2>&1 || case $path in
	/usr/bin/python3 | /usr/bin/cc | /usr/bin/c++ | /usr/bin/git) return 1 ;;
	esac
}

missing='' packages=''

# need notes a missing tool.
need() { # TOOL and its package for apt-get, pacman, and dnf or zypper
	missing="$missing, $1"
	if have apt-get; then packages="$packages $2"; elif have pacman; then packages="$packages $3"; else packages="$packages $4"; fi
}

# need_python sets python to an interpreter that has pip. An active virtual
# environment often has none; the system's, or a new environment, may.
need_python() {
	if find_python; then return; fi
	[ -n "$python" ] || need python3 python3 python python3
	need "pip for python3" python3-pip python-pip python3-pip
}

find_python() {
	python=
	have python3 || return 1
	for python in python3 /usr/bin/python3; do
		if have "$python" && "$python" -m pip --version >/dev/null 2>&1; then return; fi
	done
	python=$work/venv/bin/python3
	python3 -m venv "$work/venv" >/dev/null 2>&1
}

# check_needs names every missing tool at once, with the command that brings them.
check_needs() {
	[ -n "$missing" ] || return 0
	sudo='sudo '
	[ "$(id -u)" != 0 ] || sudo=
	if [ "$host" = Darwin ]; then
		hint="xcode-select --install   (or: brew install mlx-c, if it has mlx $mlx and mlx-c $mlxc)"
	elif have apt-get; then
		hint="${sudo}apt-get install -y$packages"
	elif have pacman; then
		hint="${sudo}pacman -S --needed$packages"
	elif have dnf; then
		hint="${sudo}dnf install -y$packages"
	elif have zypper; then
		hint="${sudo}zypper install -y$packages"
	else
		hint="the package manager:$packages"
	fi
	die "missing: ${missing#, }
  install with: $hint"
}

# check_space asks for what a build takes at its peak, in MB.
check_space() {
	free=$(df -Pk "$work" | awk 'NR == 2 { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+%$/) print int($(i - 1) / 1024) }')
	[ "${free:-$1}" -ge "$1" ] || die "$1 MB needed in ${work%/*}, $free MB are free: make room, or name another folder in DELTATAPE_CACHE"
}

# manylinux writes pip's names of what runs on Linux with the processor $1.
manylinux() {
	case $1 in
	amd64) arch=x86_64 ;;
	arm64) arch=aarch64 ;;
	esac
	for glibc in 2_35 2_34 2_28 2_27 2_17; do echo "manylinux_${glibc}_$arch"; done
	echo "manylinux2014_$arch"
}

# fetch_wheels downloads what the file $1 of requirements/ pins, for the named
# platforms, to $work/wheels. They are named for pip since it would go by its
# own Python otherwise, which can be older or emulated.
fetch_wheels() { # REQUIREMENTS PLATFORM...
	list=$scripts/requirements/$1.txt
	shift
	for name in "$@"; do
		shift
		set -- "$@" --platform "$name"
	done
	# Some set pip to work in virtual environments only, which is about installing.
	export PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1
	attempt "can't download what ${list##*/} pins (above is what pip says): check the network and pip's settings, then run this again" \
		"$python" -m pip download --no-cache-dir --no-deps --only-binary=:all: --require-hashes --python-version 3.12 "$@" \
		-r "$list" -d "$work/wheels"
}

unpack_wheel() { # WHEEL FOLDER
	attempt "can't unpack ${1##*/}" "$python" -m zipfile -e "$1" "$2"
	rm "$1"
}
