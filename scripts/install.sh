#!/bin/sh
# Installs what Debian packages are missing: `scripts/install.sh demo` what the program needs to be built and run,
# `scripts/install.sh` (or `test`) also what the tests need. Does nothing when everything is there; asks for root
# through sudo only when something has to be installed.
set -eu
purpose=${1:-test}
missing=""

want() { # want <package> <test that succeeds when it is there>
    if ! sh -c "$2" >/dev/null 2>&1; then
        missing="$missing $1"
    fi
}

want postgresql 'pg_config --bindir && ls "$(pg_config --bindir)/initdb" || ls /usr/lib/postgresql/*/bin/initdb'
want gcc 'command -v cc'
want pkg-config 'command -v pkg-config'
want ca-certificates 'test -d /etc/ssl/certs'
want nodejs 'node -e "process.exit(parseInt(process.versions.node, 10) >= 18 ? 0 : 1)"'
want npm 'command -v npm'
if [ "$purpose" != demo ]; then
    want chromium 'command -v chromium || test -x "${CHROMIUM:-/none}"'
    want fonts-noto-cjk 'ls /usr/share/fonts/opentype/noto/NotoSansCJK*'
    want curl 'command -v curl'
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "install: Rust is missing. Install it as your organisation does (rustup or a package), then run this again." >&2
    exit 1
fi
if [ -z "$missing" ]; then
    echo "install: everything is there"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "install: this is no Debian system; install the counterparts of these packages yourself:$missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install: missing:$missing" >&2
        echo "install: sudo is not here; run as root: apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "install: missing:$missing"
echo "install: reading the package lists"
$as_root apt-get update -q
for package in $missing; do
    echo "install: $package"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package"
done
echo "install: done"
