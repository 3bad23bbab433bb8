#!/usr/bin/env bash
# Installs emotion-edge on this Raspberry Pi as a service, or updates it; see `--help`.
#
#   /opt/emotion-edge/releases/RELEASE/     a virtual environment above the distribution's Python and NumPy
#   /opt/emotion-edge/current               the release in use
#   /var/lib/emotion-edge/models/           model bundles, each with its face mesh; `emotion-edge model` installs them
#   /etc/emotion-edge/                      settings and passwords: created once, never overwritten
#   /etc/systemd/system/emotion-edge.service, and emotion-edge.service.d/network.conf with the addresses it may reach
#
# A release or a bundle is built in a temporary folder, tested, and renamed into place. What runs changes last, by
# renames. Ctrl-C, a lost connection or a power cut leaves the old one or the new one.
set -euo pipefail
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OPT=/opt/emotion-edge RELEASES=/opt/emotion-edge/releases
STATE=/var/lib/emotion-edge MODELS=/var/lib/emotion-edge/models
ETC=/etc/emotion-edge
UNIT=emotion-edge.service UNITS=/etc/systemd/system
COMMAND=/usr/local/bin/emotion-edge
PYTHON=/usr/bin/python3
PACKAGES=(python3-venv python3-numpy python3-systemd)
PICAMERA2=python3-picamera2 # only in the archive of Raspberry Pi OS

usage() {
    cat <<'TEXT'
usage: sudo ./deploy/install.sh [--check] [--wheels DIR]
       sudo ./deploy/install.sh --uninstall

Installs this checkout as the service emotion-edge and starts it. Run it again after an update, after changing the
broker, the network camera or the address of the live page in the settings, or to repair the installation. It keeps
the settings, and does nothing if all is up to date.

  --check       only print what would be done
  --wheels DIR  take Python packages and face_landmarker.task from this folder instead of the network
  --uninstall   stop the service and remove everything except the settings in /etc/emotion-edge
TEXT
}

fail() { # STATUS LINE: exit with a status of sysexits.h
    echo "install.sh: $2" >&2
    exit "$1"
}

step() { # LINE COMMAND...: print the line and run the command; with --check only print
    changed=yes
    if [ "$mode" = check ]; then
        echo "would do: $1"
    else
        echo "$1"
        "${@:2}"
    fi
}

quietly() { # STATUS COMMAND...: show output only on failure, as one line with the reason
    "${@:2}" >"$scratch/log" 2>&1 || fail "$1" "$(last_words "$scratch/log")"
}

last_words() { # LOG
    { grep -E '^ *(ERROR|E|emotion-edge): ' "$1" || grep -v '^ *$' "$1" || echo "no reason given"; } |
        tail -n 1 | sed -E 's/^ *(ERROR|E|emotion-edge): //'
}

put() { # FILE TARGET: copy atomically
    mkdir -p "$(dirname "$2")"
    install -m 644 "$1" "$2.new"
    mv -T "$2.new" "$2"
}

use() { # LINK TARGET: point the link at the target, atomically
    [ "$(readlink "$1")" = "$2" ] || step "in use: $1 -> $2" replace_link "$1" "$2"
}

replace_link() { # LINK TARGET
    ln -sfn "$2" "$1.new"
    mv -T "$1.new" "$1"
}

# ------------------------------------------------------------------------------------------------ machine and packages

check_machine() {
    [ "$(id -u)" = 0 ] || fail 77 "only root may install a service: sudo ./deploy/install.sh"
    if [ ! -d /run/systemd/system ] || ! command -v apt-get >/dev/null; then
        fail 69 "this needs a running Raspberry Pi OS, or another Debian with systemd"
    fi
    local architecture
    architecture=$(dpkg --print-architecture)
    case $architecture in
    arm64 | amd64) ;;
    *) fail 69 "this is a 32-bit system ($architecture): install the 64-bit Raspberry Pi OS" ;;
    esac
    $PYTHON -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail 69 "$($PYTHON --version) is too old: 3.11 is needed, which Raspberry Pi OS has since Bookworm"
}

go_alone() {
    exec 9>/run/emotion-edge-install.lock
    flock --nonblock 9 || fail 75 "another installation is running: wait until it ends"
    trap 'rm -rf "$scratch" $RELEASES/.new' EXIT # the lock protects them from other installations
}

installed() { # PACKAGE
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
    local package missing=() lists
    for package in "${PACKAGES[@]}"; do
        installed "$package" || missing+=("$package")
    done
    lists=$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit)
    if [ ${#missing[@]} -gt 0 ] || { [ -z "$lists" ] && ! installed $PICAMERA2; }; then
        step "packages: updating the lists" quietly 69 apt-get -qq update
    fi
    if installed $PICAMERA2; then
        :
    elif [ -n "$(apt-cache madison $PICAMERA2)" ]; then
        missing+=("$PICAMERA2")
    elif [ ! -e $OPT ]; then
        echo "packages: $PICAMERA2 is not in this system's archive, so the service can only use USB cameras"
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        export DEBIAN_FRONTEND=noninteractive
        # Without recommended packages: those of picamera2 include a desktop.
        step "packages: installing ${missing[*]}" \
            quietly 69 apt-get -qq install --yes --no-install-recommends "${missing[@]}"
    fi
}

# ------------------------------------------------------------------------------------------------------------- release

release_name() { # version, and a hash of everything that goes into a release
    local version
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$SOURCE/edge/__init__.py")
    {
        $PYTHON -c 'import sys, numpy; print(sys.version_info[:2], numpy.__version__)'
        cd "$SOURCE"
        find pyproject.toml setup.py deploy/constraints/device.txt edge host_training model/fused model/landmarks \
            -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | sed "s/^\(........\).*/$version-\1/"
}

build_release() {
    local new=$RELEASES/.new
    rm -rf "$new"
    mkdir -p $RELEASES
    quietly 69 $PYTHON -m venv --system-site-packages "$new"
    # In a copy, because the build leaves files behind, which would belong to root.
    mkdir "$new/source"
    (cd "$SOURCE" && cp -r pyproject.toml setup.py README.md LICENSE NOTICE edge host_training "$new/source")
    # picamera2 is compiled for the distribution's NumPy, so no other may be installed.
    $PYTHON -c 'import numpy; print(f"numpy=={numpy.__version__}")' >"$new/numpy.txt"
    quietly 69 "$new/bin/python" -m pip install --no-input --only-binary=:all: --constraint "$new/numpy.txt" \
        --constraint "$SOURCE/deploy/constraints/device.txt" "$new/source[litert]"
    rm -r "$new/source"
    # The scripts contain the path of their Python, which changes with the rename.
    grep -rlIF "$new" "$new/bin" "$new/pyvenv.cfg" | xargs sed -i "s|$new|$RELEASES/$release|g"
    sync # the files must be on the disk before the rename
    mv -T "$new" "$RELEASES/$release"
}

remove_old_releases() { # PREVIOUS: keep it and the current release, remove the others
    local folder
    for folder in "$RELEASES"/*; do
        case ${folder##*/} in "$release" | "$1") ;; *) rm -rf "$folder" ;; esac
    done
}

# ------------------------------------------------------------------------------------------------------------- bundles

check_bundles() { # test the bundles of this checkout, and list those to be installed in $bundles
    local trial_s=1 # long enough to find and read the face of the demo
    if [ ! -d "$RELEASES/$release" ]; then # with --check, before the first build of this release
        bundles="those of the release that are new"
        return
    fi
    if [ "$mode" = check ]; then
        trial_s=0
    elif [ ! -d $MODELS/current/mesh ]; then
        fetch_mesh
    fi
    install_bundles --check --trial $trial_s
    bundles=$(sed -n 's/^would install //p' "$scratch/log" | paste -sd '&' | sed 's/&/, and /g')
    [ "$previous" = "$release" ] || grep 'stays in use' "$scratch/log" || true
}

install_bundles() { # OPTIONS of `emotion-edge model install`; its output goes to the log
    local status=0
    XDG_CACHE_HOME=$scratch "$RELEASES/$release/bin/emotion-edge" model install --release "$SOURCE/model" "$@" \
        >"$scratch/log" 2>&1 || status=$?
    [ $status = 0 ] || fail $status "$(last_words "$scratch/log")"
}

fetch_mesh() { # for the first bundle; later ones copy it from the bundle in use
    local from=()
    [ ! -f "$wheels/face_landmarker.task" ] || from=(--from "$wheels/face_landmarker.task")
    XDG_CACHE_HOME=$scratch quietly 69 "$RELEASES/$release/bin/emotion-edge" model fetch "${from[@]}"
}

# --------------------------------------------------------------------------------------------------- settings and unit

write_settings() {
    mkdir -p $ETC
    "$RELEASES/$release/bin/emotion-edge" run --print-config >"$scratch/settings"
    put "$scratch/settings" $ETC/emotion-edge.toml
}

allow_network() { # write $scratch/network.conf; invalid settings are detected here
    local status=0
    CREDENTIALS_DIRECTORY=$ETC "$RELEASES/$release/bin/python" "$SOURCE/deploy/device/allow_network.py" \
        >"$scratch/network.conf" 2>"$scratch/log" || status=$?
    [ $status = 0 ] || fail $status "$(last_words "$scratch/log")"
    sed 's/^/install.sh: /' "$scratch/log" >&2
}

start() {
    local status
    systemctl daemon-reload
    systemctl reset-failed $UNIT 2>/dev/null || true
    systemctl --quiet enable $UNIT
    # Returns when the service is ready, or has failed for the first time.
    systemctl restart $UNIT 2>/dev/null || {
        status=$(systemctl show --property=ExecMainStatus --value $UNIT)
        [ "$status" -ge 64 ] || status=70
        fail "$status" "emotion-edge $release is installed, but does not run: $(why_not)"
    }
}

why_not() { # the last message of the service
    journalctl --sync
    journalctl --quiet --unit=$UNIT --identifier=emotion-edge --output=cat --lines=20 >"$scratch/log"
    last_words "$scratch/log"
}

# ------------------------------------------------------------------------------------------------------------- everything

install_all() {
    local previous name
    check_machine
    go_alone
    install_packages
    if [ "$mode" = check ] && ! $PYTHON -c 'import numpy' 2>/dev/null; then
        step "release, model bundles, settings and service: installing"
        return
    fi
    [ -f "$SOURCE/model/fused/manifest.json" ] && [ -f "$SOURCE/model/landmarks/manifest.json" ] ||
        fail 66 "$SOURCE/model lacks a model bundle: run this from a complete checkout of the project"
    release=$(release_name)
    previous=$(readlink $OPT/current || true)
    previous=${previous##*/}

    [ -d "$RELEASES/$release" ] || step "release $release: building" build_release
    check_bundles
    [ -e $ETC/emotion-edge.toml ] || step "settings: writing $ETC/emotion-edge.toml" write_settings
    for name in mqtt-password mqtt-client-key camera-password preview-token; do
        [ -e $ETC/$name ] || step "settings: creating $ETC/$name, empty" install -m 600 /dev/null $ETC/$name
    done
    [ ! -d "$RELEASES/$release" ] || allow_network

    trap '' INT TERM HUP # from here on the running installation changes, all or nothing
    [ -z "$bundles" ] || step "model bundles: installing $bundles" install_bundles --trial 0
    use $OPT/current "releases/$release"
    use $COMMAND $OPT/current/bin/emotion-edge
    cmp -s "$SOURCE/deploy/device/$UNIT" $UNITS/$UNIT || step "service: writing $UNIT" put "$SOURCE/deploy/device/$UNIT" $UNITS/$UNIT
    cmp -s "$scratch/network.conf" $UNITS/$UNIT.d/network.conf ||
        step "service: allowing it the addresses that the settings need" put "$scratch/network.conf" $UNITS/$UNIT.d/network.conf
    trap - INT TERM HUP

    if [ "$changed" = no ] && systemctl --quiet is-active $UNIT && systemctl --quiet is-enabled $UNIT; then
        echo "emotion-edge $release is installed and runs: nothing to do"
        return
    fi
    [ "$previous" = "$release" ] || [ "$mode" = check ] || remove_old_releases "$previous"
    step "service: starting" start
    [ "$mode" = check ] || echo "emotion-edge $release runs; to see its log: journalctl --follow --unit emotion-edge"
}

uninstall() {
    [ "$(id -u)" = 0 ] || fail 77 "only root may remove a service: sudo ./deploy/install.sh --uninstall"
    go_alone
    if [ -d $MODELS ]; then
        exec 8>>$MODELS/.lock # `emotion-edge model` takes the same lock
        flock --nonblock 8 || fail 75 "a model bundle is being installed: wait until that ends"
    fi
    if [ ! -e $OPT ] && [ ! -e $UNITS/$UNIT ] && [ ! -e $STATE ]; then
        echo "emotion-edge is not installed: nothing to do"
        return
    fi
    systemctl --quiet disable --now $UNIT 2>/dev/null || true
    CREDENTIALS_DIRECTORY=$ETC $COMMAND forget --force >"$scratch/log" 2>&1 ||
        echo "the broker still retains the topics of this device: $(last_words "$scratch/log")"
    rm -rf $OPT $STATE /var/lib/private/emotion-edge $COMMAND "${UNITS:?}/$UNIT" "$UNITS/$UNIT.d/network.conf"
    [ ! -d $UNITS/$UNIT.d ] || rmdir --ignore-fail-on-non-empty $UNITS/$UNIT.d
    systemctl daemon-reload
    systemctl reset-failed $UNIT 2>/dev/null || true
    echo "emotion-edge is removed; your settings in $ETC and Debian's packages are kept"
}

interrupted() {
    fail 130 "interrupted; the previous release still runs"
}

mode=install wheels='' changed=no bundles='' release=''
while [ $# -gt 0 ]; do
    case $1 in
    --check) mode=check ;;
    --uninstall) mode=uninstall ;;
    --wheels)
        [ -d "${2-}" ] || fail 66 "--wheels ${2-}: no such folder"
        wheels=$(realpath "$2")
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) fail 64 "unknown argument $1; see deploy/install.sh --help" ;;
    esac
    shift
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap interrupted INT TERM HUP
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
if [ -n "$wheels" ]; then
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="file://${wheels// /%20}"
fi
if [ "$mode" = uninstall ]; then uninstall; else install_all; fi
