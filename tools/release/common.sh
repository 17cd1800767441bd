# shellcheck shell=bash
# What the steps of a release share: sourced, at the root of the repository.

version=$(cargo metadata --format-version 1 --no-deps --locked --offline |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["packages"][0]["version"])')
# From a source archive, without git, it is the archive's.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y Cargo.toml)}
export version SOURCE_DATE_EPOCH

# Of all that is in the directory.
sums() (
    cd "$1" || exit
    rm -f SHA256SUMS
    sha256sum -- * > SHA256SUMS
)
