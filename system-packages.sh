#!/bin/sh
# Names the system packages that "run", "test" or "gui" needs and this machine lacks;
# as root on Debian and its kin it installs them.
set -eu

run="libportaudio2 libpulse0"
gui="$run libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon0 libxcb-cursor0
     libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0"
case "${1:-run}" in
run) packages="$run" ;;
test) packages="$gui chromium curl ffmpeg libasound2-plugins pulseaudio pulseaudio-utils espeak-ng mosquitto xdotool xvfb" ;;
gui) packages="$gui libasound2-plugins" ;;
*) echo "usage: $0 run|test|gui" >&2; exit 2 ;;
esac
python3 -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian or Ubuntu. Please see that you have the like of: $packages"
    exit 0
fi
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q ' installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
else
    echo "Missing system packages. Install them with:" >&2
    echo "    sudo apt-get install$missing" >&2
    case "$missing" in *python3-venv*) exit 1 ;; esac
fi
