#!/bin/sh
# install.sh install|uninstall, with these variables:
#
# PREFIX      where programs and shared files go (/usr/local)
# SYSCONFDIR  where configuration goes (/etc)
# UNITDIR     where systemd's units go ($PREFIX/lib/systemd/system)
# DESTDIR     put before each of them, for those who make packages
# BIN         where the built programs are (bin)
#
# A configuration file that somebody has edited is never touched: the new one is
# put beside it as NAME.new. What is there and the same is left alone, so that
# installing twice changes nothing. Uninstalling keeps edited configuration files,
# and everything below /var.
#
# Exit status: 0 done, 1 failed, 2 wrong usage or nothing built.
set -eu
cd "$(dirname "$0")/.."
: "${PREFIX:=/usr/local}" "${SYSCONFDIR:=/etc}" "${DESTDIR:=}"
: "${UNITDIR:=$PREFIX/lib/systemd/system}" "${BIN:=bin}"
programs='lynxctl lynx-server lynx-runner lynx-shim'
configs='lynx-server.yaml lynx-runner.yaml'
units='lynx-server.service lynx-runner.service lynx-runner-clean.service lynx-runner-clean.timer'
users=lib/sysusers.d/lynx.conf # below PREFIX
share=$DESTDIR$PREFIX/share/lynx
etc=$DESTDIR$SYSCONFDIR/lynx

say() { echo "$*" >&2; }

for path in "$PREFIX" "$SYSCONFDIR" "$UNITDIR"; do
	case $path in
	*[!A-Za-z0-9_./+-]* | [!/]*)
		say "$path: PREFIX, SYSCONFDIR and UNITDIR must be absolute paths of letters, digits and ._+-"
		exit 2
		;;
	esac
done

# put MODE SOURCE TARGET: a new file takes the old one's place whole, so that a
# program that runs keeps its own.
put() {
	if cmp -s "$2" "$3" && [ "$(stat -c %a "$3")" = "$1" ]; then return; fi
	mkdir -p "$(dirname "$3")"
	install -m "$1" "$2" "$3.tmp"
	mv -f "$3.tmp" "$3"
	say "installed $3"
}

# put_config NAME: takes the place of a file that is as it was installed, of which
# there is a copy in share/lynx/etc.
put_config() {
	if [ ! -e "$etc/$1" ] || cmp -s "$etc/$1" "$share/etc/$1"; then
		put 644 "$work/$1" "$etc/$1"
		rm -f "$etc/$1.new"
	elif cmp -s "$work/$1" "$etc/$1"; then
		rm -f "$etc/$1.new"
	else
		put 644 "$work/$1" "$etc/$1.new"
		say "kept $etc/$1, which was edited; the new one is beside it as $1.new"
	fi
	put 644 "$work/$1" "$share/etc/$1"
}

# render SOURCE: a file of ours, with the paths of this installation.
render() { sed -e "s|/usr/local/|$PREFIX/|g" -e "s|/etc/lynx/|$SYSCONFDIR/lynx/|g" "$1"; }

# put_tree SOURCE TARGET: the files of a directory, less what running them leaves.
put_tree() {
	(cd "$1" && find . -type f ! -path '*/__pycache__/*' ! -path '*/tests/*' ! -path '*/.*cache/*') |
		while read -r file; do put 644 "$1/$file" "$2/${file#./}"; done
}

install_all() {
	for p in $programs; do
		[ -x "$BIN/$p" ] || {
			say "$BIN/$p is not there: run 'make build' first (as yourself, not as root)"
			exit 2
		}
	done
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	for p in $programs; do put 755 "$BIN/$p" "$DESTDIR$PREFIX/bin/$p"; done
	render configs/lynx-server.yaml >"$work/lynx-server.yaml"
	# The runner's file is the one for this directory, with paths of the system's.
	render deploy/systemd/lynx-runner.head >"$work/lynx-runner.yaml"
	sed -e '1,/^$/d' -e "s|^working_directory: .*|working_directory: $PREFIX/share/lynx/scenarios/aerospace/python|" \
		-e 's|^output_root: .*|output_root: /var/lib/lynx-output|' configs/lynx-runner-basilisk.yaml >>"$work/lynx-runner.yaml"
	for c in $configs; do put_config "$c"; done
	for u in $units; do
		render "deploy/systemd/$u" >"$work/$u"
		put 644 "$work/$u" "$DESTDIR$UNITDIR/$u"
	done
	put 644 deploy/systemd/sysusers.conf "$DESTDIR$PREFIX/$users"
	put_tree scenarios "$share/scenarios"
	"$BIN/lynxctl" completion bash >"$work/bash" && put 644 "$work/bash" "$DESTDIR$PREFIX/share/bash-completion/completions/lynxctl"
	"$BIN/lynxctl" completion zsh >"$work/zsh" && put 644 "$work/zsh" "$DESTDIR$PREFIX/share/zsh/site-functions/_lynxctl"
	"$BIN/lynxctl" completion fish >"$work/fish" && put 644 "$work/fish" "$DESTDIR$PREFIX/share/fish/vendor_completions.d/lynxctl.fish"
}

uninstall_all() {
	for p in $programs; do rm -f "$DESTDIR$PREFIX/bin/$p"; done
	for u in $units; do rm -f "$DESTDIR$UNITDIR/$u"; done
	rm -f "$DESTDIR$PREFIX/$users" "$DESTDIR$PREFIX/share/bash-completion/completions/lynxctl" \
		"$DESTDIR$PREFIX/share/zsh/site-functions/_lynxctl" "$DESTDIR$PREFIX/share/fish/vendor_completions.d/lynxctl.fish"
	for c in $configs; do
		rm -f "$etc/$c.new"
		if [ ! -e "$etc/$c" ]; then continue; fi
		if cmp -s "$etc/$c" "$share/etc/$c"; then rm -f "$etc/$c"; else say "kept $etc/$c, which was edited"; fi
	done
	rm -rf "$share"
	rmdir "$etc" 2>/dev/null || true
	say "uninstalled; data stays below /var/lib (lynx, lynx-runner, lynx-output)"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*)
	sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
