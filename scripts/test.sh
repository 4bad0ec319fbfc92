#!/bin/sh
# All that CI runs, in the order in which it is cheapest to fail. `scripts/test.sh` from anywhere; RUN=browser runs only
# the browser tests, RUN=rust everything else.
set -eu
cd "$(dirname "$0")/.."
run=${RUN:-all}

step() {
    printf '\n== %s\n' "$1"
}

step "what is missing"
scripts/install.sh test
step "assets"
scripts/assets.sh

if [ "$run" != browser ]; then
    step "format"
    cargo fmt --all -- --check
    step "lint"
    cargo clippy --workspace --all-targets --locked -- -D warnings
    # Licences and sources are also checked by a test of this workspace (testkit/tests/house.rs), so that nothing has
    # to be installed; cargo-deny looks closer where it is at hand. Advisories need a database from outside.
    if command -v cargo-deny >/dev/null 2>&1; then
        step "dependencies"
        cargo deny --all-features --offline check licenses bans sources
    fi
    step "tests"
    if command -v cargo-nextest >/dev/null 2>&1; then
        cargo nextest run --workspace --locked
    else
        cargo test --workspace --locked
    fi
fi

if [ "$run" != rust ]; then
    step "browser tests"
    scripts/browser-tests.sh
fi
