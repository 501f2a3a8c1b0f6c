#!/usr/bin/env bash
# get-kernel.sh DIR: downloads the package with Debian's kernel for virtual machines into DIR, and installs nothing. The lists of
# packages are fetched anew where they are missing or too old.
set -uo pipefail
cd "$1" || exit 1

get() {
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
    [ -n "$package" ] && timeout 120 apt-get -qq -o APT::Sandbox::User=root download "$package"
}

get || { timeout 120 apt-get -qq -o DPkg::Lock::Timeout=60 update && get; }
