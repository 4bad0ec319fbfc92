# make demo    build, start with a demonstration city at http://127.0.0.1:8686   (more options: make demo ARGS="--people 5000")
# make test    all that CI runs
# make bench   the headline figures, each beside its limit
# make assets  style sheet and scripts into web/dist

.PHONY: demo test bench assets install gallery

demo:
	@scripts/install.sh demo
	@scripts/assets.sh
	cargo build --release --locked -p minkang
	@exec "$${CARGO_TARGET_DIR:-target}/release/minkang" demo --data data $(ARGS)

test:
	@scripts/test.sh

bench:
	@scripts/install.sh demo
	@scripts/assets.sh
	@scripts/bench.sh $(ARGS)

assets:
	@scripts/assets.sh

install:
	@scripts/install.sh test

# Every ui piece with samples, to look at.
gallery: assets
	cargo run -p minkang-web --example gallery
