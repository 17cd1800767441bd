#!/usr/bin/env bash
# Fact: a package that has an entry of its own under [profile.NAME.package] is built without the `strip = true` of
# that profile, although the entry says nothing of strip.
#
# Software: cargo 1.95.0 (Rust's stable toolchain).
# Seen: rustc is called with -C strip=symbols without the entry, with -C strip=debuginfo with an entry that names
# opt-level only, and with -C strip=symbols again when the entry repeats `strip = true`. So is the symbol table
# gone, there, gone.
# A good engineer would have guessed: an entry changes what it names; the reference lists the order in which a
# value is looked for, and the profile's own value comes last.
# Why it matters: a program that is tuned for size by entries for packages is published with all its symbols, a
# fifth of its size, as soon as its own package is among them.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p "$folder/src"
cd "$folder"
echo 'fn main() { println!("hello"); }' >src/main.rs
manifest='[package]
name = "program"
version = "0.1.0"
edition = "2021"
[profile.dist]
inherits = "release"
strip = true'

# built ENTRY...: what rustc was told of strip, and whether the program has a symbol table.
built() {
    printf '%s\n' "$manifest" "$@" >Cargo.toml
    rm -rf target
    local told symbols=gone
    told=$(env -u RUSTFLAGS -u CARGO_TARGET_DIR timeout 100 cargo build --profile dist --verbose 2>&1 | grep -o 'strip=[a-z]*' | tail -1)
    python3 -c 'import sys; sys.exit(b".symtab" not in open("target/dist/program", "rb").read())' && symbols=there
    echo "$told, $symbols"
}

seen=$(
    built
    built '[profile.dist.package.program]' 'opt-level = "s"'
    built '[profile.dist.package.program]' 'opt-level = "s"' 'strip = true'
)
expected='strip=symbols, gone
strip=debuginfo, there
strip=symbols, gone'
cargo --version
echo "seen:"
echo "$seen"
if [[ $seen != "$expected" ]]; then
    echo "CHANGED; it was:" >&2
    echo "$expected" >&2
    exit 1
fi
echo "as stated"
