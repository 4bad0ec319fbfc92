#!/bin/sh
# Runs tests/browser/ in Debian's Chromium against the program at MINKANG_URL. Without MINKANG_URL it starts a program
# (MINKANG_BIN, or else the newest one built here, or else a debug build) with a small demonstration city in a temporary
# folder, and stops it afterwards.
set -eu
cd "$(dirname "$0")/.."

lock=$(sha256sum tests/browser/package-lock.json | cut -d' ' -f1)
if [ "$(cat tests/browser/node_modules/.lock-digest 2>/dev/null || true)" != "$lock" ]; then
    (cd tests/browser && npm ci --no-fund --no-audit --ignore-scripts --loglevel=error)
    echo "$lock" >tests/browser/node_modules/.lock-digest
fi

if [ -z "${MINKANG_URL:-}" ]; then
    people=${MINKANG_TEST_PEOPLE:-400}
    port=${MINKANG_TEST_PORT:-$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')}
    built="${CARGO_TARGET_DIR:-target}"
    binary=${MINKANG_BIN:-$(ls -t "$built/debug/minkang" "$built/release/minkang" 2>/dev/null | head -n 1)}
    if [ -z "$binary" ]; then
        cargo build --locked -p minkang
        binary="$built/debug/minkang"
    fi
    data=$(mktemp -d)
    # The local database runs as another user when we are root, and must be able to pass through.
    chmod 755 "$data"
    program=""
    finish() {
        if [ -n "$program" ]; then
            # The program ends by itself on SIGTERM, and its database with it; it must not be left behind.
            kill -TERM "$program" 2>/dev/null || true
            left=60
            while kill -0 "$program" 2>/dev/null && [ "$left" -gt 0 ]; do
                left=$((left - 1))
                sleep 0.5
            done
            if kill -KILL "$program" 2>/dev/null; then
                echo "browser tests: the program did not stop in 30 s" >&2
            fi
            wait "$program" 2>/dev/null || true
        fi
        rm -rf "$data"
    }
    trap finish EXIT
    trap 'exit 130' INT TERM

    echo "browser tests: $binary, a city of $people people on port $port"
    "$binary" --data "$data/city" demo --people "$people" --listen "127.0.0.1:$port" >"$data/program.log" 2>&1 &
    program=$!
    # By name: browsers know no passkeys at the number of a machine.
    MINKANG_URL="http://localhost:$port"
    left=360
    # Signing in works when the city is ready; before that the port is closed.
    until curl -fsS -o /dev/null "$MINKANG_URL/sign-in" 2>/dev/null; do
        left=$((left - 1))
        if [ "$left" -le 0 ] || ! kill -0 "$program" 2>/dev/null; then
            echo "browser tests: the program did not come up; its log:" >&2
            cat "$data/program.log" >&2
            exit 1
        fi
        sleep 0.5
    done
    echo "browser tests: the city is ready"
fi
export MINKANG_URL
cd tests/browser
npm test --silent
