#!/bin/sh
# Makes WORK/install a compiler for macOS that runs on Linux: Zig's, which carries
# clang and the headers of macOS. Called by macos_check.sh and kernel_check.sh.
# usage: build_zig.sh GOARCH WORK
set -eu
goarch=$1 work=$2
scripts=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/tools.sh
. "$scripts/tools.sh"
task='making the compiler for macOS'
site=$work/install

need_python
check_needs
check_space 700
say "downloading Zig, a compiler for macOS (100 MB)"
platforms=$(manylinux "$goarch")
# shellcheck disable=SC2086 # one word each
fetch_wheels zig $platforms
unpack_wheel "$work"/wheels/*.whl "$site"
chmod +x "$site/ziglang/zig"

# What Go links with besides libSystem; it calls nothing of them by name.
stub() { # FILE, and the path of the library on a Mac
	mkdir -p "$site/stubs/$(dirname "$1")"
	cat >"$site/stubs/$1" <<-END
		--- !tapi-tbd
		tbd-version:     4
		targets:         [ arm64-macos ]
		install-name:    '$2'
		...
	END
}
stub libresolv.tbd /usr/lib/libresolv.9.dylib
stub CoreFoundation.framework/CoreFoundation.tbd \
	/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation

mkdir "$site/bin"
for language in cc c++; do
	cat >"$site/bin/macos-$language" <<-END
		#!/bin/sh
		zig=\$(cd "\$(dirname "\$0")/.." && pwd -P)
		export ZIG_GLOBAL_CACHE_DIR="\$zig/cache" ZIG_LOCAL_CACHE_DIR="\${ZIG_LOCAL_CACHE_DIR:-\$zig/cache}"
		# Where it is asked what it is, as Go does by -###, Zig leaves an empty object.
		case " \$* " in *' -### '* | *' --version '*) mkdir -p "\$ZIG_LOCAL_CACHE_DIR" && cd "\$ZIG_LOCAL_CACHE_DIR" ;; esac
		exec "\$zig/ziglang/zig" $language -target aarch64-macos.14.0 -fno-sanitize=all \\
			-Wno-unused-command-line-argument -L"\$zig/stubs" -F"\$zig/stubs" "\$@"
	END
	chmod +x "$site/bin/macos-$language"
done
attempt "Zig doesn't run here" "$site/bin/macos-cc" --version
sync
echo built=1 >"$site/build-info"
