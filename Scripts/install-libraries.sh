#!/bin/sh
# Installs the system libraries that the build needs and that are missing (Debian and Ubuntu).
set -e
missing=""
need() { [ -n "$(eval "$1" 2>/dev/null)" ] || missing="$missing $2"; }
need "command -v pkg-config" pkg-config
[ -e /usr/include/pcre2.h ] || missing="$missing libpcre2-dev"
library() { pkg-config --exists "$1" 2>/dev/null || missing="$missing $2"; }
library libturbojpeg libturbojpeg0-dev
library libpng libpng-dev
library libwebp libwebp-dev
library ompi-c libopenmpi-dev
need "command -v mpirun" openmpi-bin
need "command -v python3" python3
need "python3 -m pip --version" python3-pip
[ -z "$missing" ] && exit 0
echo "Installing:$missing"
if ! command -v apt-get >/dev/null; then
    echo "This system has no apt-get; please install the equivalents of:$missing" >&2
    exit 1
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing
