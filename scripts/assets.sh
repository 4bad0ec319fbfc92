#!/bin/sh
# Builds web/dist/ (style sheet, scripts, icons) from the npm packages in web/package-lock.json.
# Does nothing when no input has changed since the last build.
set -eu
cd "$(dirname "$0")/../web"

digest() {
    # Names and contents, in one order everywhere.
    find package.json package-lock.json .npmrc build.mjs divisions.mjs maps.mjs icons.txt src -type f | LC_ALL=C sort |
        xargs sha256sum | sha256sum | cut -d' ' -f1
}

wanted=$(digest)
if [ -f dist/manifest.json ] && [ "$(cat dist/.inputs 2>/dev/null || true)" = "$wanted" ]; then
    echo "assets: up to date"
    exit 0
fi

for tool in node npm; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "assets: $tool is missing; run scripts/install.sh" >&2
        exit 1
    fi
done

lock=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.lock-digest 2>/dev/null || true)" != "$lock" ]; then
    echo "assets: fetching npm packages (about 150 MB unpacked, once)"
    npm ci --no-fund --no-audit --ignore-scripts --loglevel=error
    echo "$lock" >node_modules/.lock-digest
fi
echo "assets: building web/dist"
node build.mjs
echo "$wanted" >dist/.inputs
echo "assets: ready ($(du -sh dist | cut -f1))"
