# `just` alone lists what one can do.

_list:
    @just --list --unsorted

# The demo on a fresh database; prints its address and a login link
run-demo *options:
    cargo run --release -- demo {{options}}

# All tests, or those whose names hold a word; installs what is missing
test *words:
    scripts/test {{words}}

# The tests without a browser; scripts/setup-tests installs what they need
test-quick:
    cargo nextest run -E 'not test(browser::)'
    npm --prefix tests/shim test --silent

# Attacks what reads others' bytes with random input: how many seconds (10) for each target, and which
fuzz *words:
    scripts/fuzz {{words}}

# Measures the watchers of one operation: how many (1000), updates a second (10), seconds (8)
bench-fanout *numbers:
    cargo bench --bench fanout -- {{numbers}}

# Measures how long a page keeps its reader waiting while 10,000 log lines come: rounds (5), log_tail (200 and 10000)
bench-page *numbers:
    cargo bench --bench page -- {{numbers}}

# What CI does
check:
    .ci/run

# Formats the code
fmt:
    cargo fmt

# The lints, as errors
lint:
    cargo clippy --all-targets -- -D warnings

# The crate's documentation
doc:
    cargo doc --no-deps --open

# Known vulnerabilities in what we depend on; needs the network
audit:
    cargo deny check advisories
