#!/bin/sh
# host-packages.sh REASON PACKAGE...
#
# Installs packages on this host, after saying why and, where a person is at the
# terminal, asking. Only as root on Debian and its relatives; elsewhere it says
# what is missing. LYNX_YES=1 answers yes.
#
# Exit status: 0 installed, 2 wrong usage, 3 not possible or not wanted.
set -eu
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
reason=$1
shift

if ! command -v apt-get >/dev/null 2>&1; then
	echo "$reason needs these packages, under their Debian names: $*. Install them with your system's package manager and run this again." >&2
	exit 3
fi
if [ "$(id -u)" != 0 ]; then
	echo "$reason needs the packages: $*. Install them and run this again:  sudo apt-get install $*" >&2
	exit 3
fi

echo "$reason needs the Debian packages: $*" >&2
if [ -t 0 ] && [ -t 2 ] && [ "${LYNX_YES:-}" != 1 ]; then
	printf 'Install them now with apt-get? [y/N] ' >&2
	read -r answer || answer=
	case $answer in
	y | Y | yes | Yes) ;;
	*)
		echo "nothing was installed" >&2
		exit 3
		;;
	esac
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1
}
# The package lists of a fresh machine are empty or old: fetch them when needed.
if install "$@" || { apt-get update -q >"$log" 2>&1 && install "$@"; }; then
	echo "installed: $*" >&2
	exit 0
fi
tail -n 15 "$log" >&2
echo "apt-get could not install: $*. Its last lines are above." >&2
exit 3
