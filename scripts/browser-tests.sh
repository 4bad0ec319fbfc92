#!/bin/sh
# Runs tests/browser/ in Debian's Chromium against the program at MINKANG_URL. Without MINKANG_URL it builds the program,
# starts it with a small demonstration city in a temporary folder, and stops it afterwards.
set -eu
cd "$(dirname "$0")/.."

lock=$(sha256sum tests/browser/package-lock.json | cut -d' ' -f1)
if [ "$(cat tests/browser/node_modules/.lock-digest 2>/dev/null || true)" != "$lock" ]; then
    (cd tests/browser && npm ci --no-fund --no-audit --ignore-scripts --loglevel=error)
    echo "$lock" >tests/browser/node_modules/.lock-digest
fi

if [ -z "${MINKANG_URL:-}" ]; then
    port=${MINKANG_TEST_PORT:-8687}
    people=${MINKANG_TEST_PEOPLE:-300}
    data=$(mktemp -d)
    # The local database runs as another user when we are root, and must be able to pass through.
    chmod 755 "$data"
    program=""
    finish() {
        if [ -n "$program" ]; then
            kill -INT "$program" 2>/dev/null || true
            wait "$program" 2>/dev/null || true
        fi
        rm -rf "$data"
    }
    trap finish EXIT
    trap 'exit 130' INT TERM

    cargo build --locked -p minkang
    binary="${CARGO_TARGET_DIR:-target}/debug/minkang"
    echo "starting a city of $people people on port $port (log: $data/program.log)"
    "$binary" demo --data "$data/city" --people "$people" --listen "127.0.0.1:$port" >"$data/program.log" 2>&1 &
    program=$!
    MINKANG_URL="http://127.0.0.1:$port"
    left=600
    until curl -fsS -o /dev/null "$MINKANG_URL/sign-in" 2>/dev/null; do
        left=$((left - 1))
        if [ "$left" -le 0 ] || ! kill -0 "$program" 2>/dev/null; then
            echo "the program did not come up; its log:" >&2
            cat "$data/program.log" >&2
            exit 1
        fi
        sleep 0.5
    done
fi
export MINKANG_URL
cd tests/browser
npm test --silent
