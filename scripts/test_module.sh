#!/bin/sh
# Tests deltatape as an ordinary dependency: a temporary module gets it through
# the module cache, which is read-only, runs the one set-up command, and runs
# the program of the README.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

module=github.com/deltatape/deltatape version=v0.0.0-test
# Serve the working tree as a module proxy would, and everything else from the
# downloads that the clone's own build already made.
( cd "$root" && go mod download )
proxy=$work/proxy/$module/@v
mkdir -p "$proxy"
printf '{"Version":"%s"}\n' "$version" >"$proxy/$version.info"
cp "$root/go.mod" "$proxy/$version.mod"
( cd "$root" && git ls-files -co --exclude-standard -z ) | python3 -c '
import os, sys, zipfile
root, prefix, path = sys.argv[1:]
with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name in sorted(n for n in sys.stdin.read().split("\0") if n and os.path.isfile(os.path.join(root, n))):
        archive.write(os.path.join(root, name), prefix + "/" + name)
' "$root" "$module@$version" "$proxy/$version.zip"

downloads=$(go env GOMODCACHE)/cache/download
GOPROXY=file://$work/proxy,file://$downloads
GOMODCACHE=$work/modcache GOFLAGS=-mod=mod GOSUMDB=off
export GOPROXY GOMODCACHE GOFLAGS GOSUMDB

mkdir "$work/user"
cd "$work/user"
go mod init example.com/user >/dev/null 2>&1
awk '/^```go$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" >main.go
go get "$module@$version" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
go mod tidy >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

dir=$(go list -m -f '{{.Dir}}' "$module")
[ ! -w "$dir" ] || [ "$(id -u)" = 0 ] || { echo "the module cache is writable: the test would prove nothing"; exit 1; }

# Without MLX the program builds, and running it says what to type.
go build -o program .
if DELTATAPE_MLX='' DELTATAPE_CACHE=$work/none ./program >"$work/log" 2>&1; then
	echo "the program ran without MLX"; exit 1
fi
grep -q 'scripts/setup.sh' "$work/log" || { cat "$work/log"; echo "no hint at set-up"; exit 1; }

sh "$dir/scripts/setup.sh" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
[ ! -e "$dir/.deps" ] || { echo "set-up wrote into the module cache"; exit 1; }
./program >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
grep -q '^tensor \[1 256 2 32\] float32' "$work/log" || { cat "$work/log"; echo "unexpected output"; exit 1; }
echo "ok: deltatape works as a dependency"
