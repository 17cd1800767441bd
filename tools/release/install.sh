#!/bin/sh
# Installs skyferry and skyferry-agent from the files of a release: picks those for this machine, checks their sum, unpacks.
# Needs a shell, tar, gzip and sha256sum (busybox has them); curl or wget for a release that is elsewhere.
#
#     sh install.sh                                     # the release's files are beside this one; into /usr/local
#     sh install.sh --prefix "$HOME/.local"
#     sh install.sh --from https://files.example.com/skyferry
set -eu

prefix=/usr/local
from=$(dirname "$0")
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=${2:?--prefix DIRECTORY}; shift 2 ;;
        --from) from=${2:?--from DIRECTORY or URL}; shift 2 ;;
        *) echo "usage: install.sh [--prefix DIRECTORY] [--from DIRECTORY|URL]" >&2; exit 2 ;;
    esac
done
case $(uname -m) in
    x86_64 | amd64) architecture=amd64 ;;
    aarch64 | arm64) architecture=arm64 ;;
    *) echo "install.sh: there is no build for $(uname -m)" >&2; exit 1 ;;
esac

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

get() {
    case $from in
        http://* | https://*)
            if command -v curl >/dev/null 2>&1; then
                curl -fsSL -o "$folder/$1" "$from/$1"
            else
                wget -q -O "$folder/$1" "$from/$1"
            fi ;;
        *) cp "$from/$1" "$folder/$1" ;;
    esac || { echo "install.sh: $from/$1 could not be read" >&2; exit 1; }
}

get SHA256SUMS
line=$(grep "  skyferry-[0-9][^ ]*-$architecture\.tar\.gz\$" "$folder/SHA256SUMS") ||
    { echo "install.sh: SHA256SUMS names no tarball for $architecture" >&2; exit 1; }
file=${line##* }
get "$file"
if ! (cd "$folder" && echo "$line" | sha256sum -c >/dev/null 2>&1); then
    echo "install.sh: $file is not the file that SHA256SUMS names: nothing was installed" >&2
    exit 1
fi

mkdir "$folder/tree"
tar -xzf "$folder/$file" -C "$folder/tree"
for kind in bin share; do
    mkdir -p "$prefix/$kind"
    cp -R "$folder/tree/usr/$kind/." "$prefix/$kind/"
done
echo "installed $("$prefix/bin/skyferry" --version) in $prefix/bin"
