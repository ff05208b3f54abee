#!/bin/sh
# docker-engine.sh ensure|status|stop
#
# ensure  uses the Docker engine that answers. Where none does, on Debian and as
#         root, it installs docker.io (asking, where a person is at the terminal;
#         LYNX_YES=1 answers yes) and starts dockerd, by systemd where that runs,
#         else in the background.
# status  says which engine answers.
# stop    stops the engine that `ensure` started in the background, and no other.
#
# Exit status: 0 an engine answers (stop: none of ours is left), 2 wrong usage,
# 3 no engine can be had; what to do about it was said.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

state=${LYNX_DOCKER_STATE:-/run/lynx-docker} # pid file: gone after a reboot, like the process
log=${LYNX_DOCKER_LOG:-/var/log/lynx-dockerd.log}
wait_seconds=${LYNX_DOCKER_WAIT:-60}

say() { echo "$*" >&2; }
fail() {
	say "$*"
	exit 3
}

# answers: the engine's version and name on stdout, or a reason in $reason.
answers() {
	command -v docker >/dev/null 2>&1 || {
		reason='there is no docker command'
		return 1
	}
	if version=$(timeout 15 docker version --format '{{.Server.Version}}' 2>&1) && [ -n "$version" ]; then
		return 0
	fi
	reason=$(echo "$version" | tail -n 1)
	return 1
}

# started: is the process in our pid file the dockerd that we started? Its start
# time is compared, since a pid may have been used again.
started() {
	[ -r "$state/pid" ] || return 1
	read -r pid since <"$state/pid" || return 1
	[ -n "$since" ] && [ "$(start_time "$pid")" = "$since" ]
}

# start_time: field 22 of /proc/PID/stat, counted from behind the name, which may
# hold blanks; empty when there is no such process.
start_time() {
	# shellcheck disable=SC2046 # split into fields
	set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
	[ "${1:-Z}" = Z ] || echo "${20}" # a zombie is gone, but for its parent
}

# await: polls the API until it answers; gives up when the process $1 (if any) is
# gone or the time is over.
await() {
	tries=$((wait_seconds * 5))
	while [ "$tries" -gt 0 ]; do
		answers && return 0
		[ -z "${1:-}" ] || [ -n "$(start_time "$1")" ] || return 1
		sleep 0.2
		tries=$((tries - 1))
	done
	return 1
}

# refuse_if_hopeless: ends the script where nothing that it could do would help.
refuse_if_hopeless() {
	case $reason in
	*ermission\ denied*)
		fail "A Docker engine is here, but this user may not use it ($reason). Add the user to the engine's group (sudo usermod -aG docker $(id -un), then log in again) or run this as root."
		;;
	esac
	if [ -n "${DOCKER_HOST:-}" ]; then
		fail "DOCKER_HOST is $DOCKER_HOST, and no engine answers there ($reason). Start that engine, or unset DOCKER_HOST to use one on this machine."
	fi
	if [ "$(id -u)" != 0 ]; then
		fail "No Docker engine answers ($reason), and only root can start one. Run 'sudo $0 ensure', or install and start Docker in your own way, or use a runner with --executor process, which needs no engine but isolates nothing."
	fi
	[ "$(uname -s)" = Linux ] ||
		fail "No Docker engine answers ($reason). Start Docker Desktop or another engine and run this again."
}

install_engine() {
	packages=docker.io
	# Debian 13 and later have the client in a package of its own.
	if ! command -v docker >/dev/null 2>&1 && apt-cache show docker-cli >/dev/null 2>&1; then
		packages="$packages docker-cli"
	fi
	# shellcheck disable=SC2086 # a list of package names
	"$here/host-packages.sh" 'A Docker engine, in which every job gets its own container,' $packages || {
		fail 'No Docker engine was installed. Install Docker in your own way and run this again, or use a runner with --executor process, which needs no engine but isolates nothing.'
	}
}

# start_background OPTION...: dockerd in a session of its own, so that it outlives
# this script and the terminal.
start_background() {
	say "starting dockerd in the background (log: $log; stop it with: $0 stop)"
	setsid dockerd --log-level warn "$@" >>"$log" 2>&1 </dev/null &
	pid=$!
	echo "$pid $(start_time "$pid")" >"$state/pid"
	await "$pid"
}

start_engine() {
	if [ -d /run/systemd/system ]; then
		say 'starting Docker: systemctl start docker'
		systemctl start docker || fail "systemd could not start Docker: see 'journalctl -u docker'"
		await || fail "Docker was started by systemd, but does not answer after $wait_seconds s ($reason): see 'journalctl -u docker'"
		return
	fi
	mkdir -p "$state"
	# Somebody else's dockerd, or ours from a moment ago, may still be coming up.
	if pid=$(cat /var/run/docker.pid 2>/dev/null) && [ -n "$(start_time "$pid")" ]; then
		say "a dockerd is there already (pid $pid); waiting for it"
		await "$pid" && return
	fi
	: >"$log"
	start_background && return
	if [ -z "$(start_time "$pid")" ] && grep -qiE 'iptables|nf_tables|bridge' "$log"; then
		# Jobs run without a network and the images are built without one.
		say 'dockerd could not set up its bridge network; trying without it'
		start_background --iptables=false --ip6tables=false --bridge=none && return
	fi
	tail -n 10 "$log" >&2
	stop_engine
	fail "dockerd was started, but no engine answers ($reason). The last lines of $log are above. Inside a container, Docker needs a privileged one with cgroups mounted."
}

stop_engine() {
	if started; then
		kill "$pid"
		tries=100
		while [ -n "$(start_time "$pid")" ] && [ "$tries" -gt 0 ]; do
			sleep 0.2
			tries=$((tries - 1))
		done
		[ -z "$(start_time "$pid")" ] || fail "dockerd (pid $pid) does not stop; see $log"
		say "stopped dockerd (pid $pid)"
	fi
	rm -f "$state/pid"
}

case ${1:-} in
ensure)
	answers && exit 0
	refuse_if_hopeless
	if ! command -v dockerd >/dev/null 2>&1 || ! command -v docker >/dev/null 2>&1; then
		install_engine
		answers || start_engine
	else
		start_engine
	fi
	say "Docker engine $version is ready"
	;;
status)
	answers || {
		say "no Docker engine answers: $reason"
		exit 3
	}
	if started; then by=", started by $0 (pid $pid)"; else by=; fi
	echo "Docker engine $version answers$by"
	;;
stop)
	[ -r "$state/pid" ] || say "nothing to stop: this script has started no engine"
	stop_engine
	;;
*)
	sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
