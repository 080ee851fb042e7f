# shellcheck shell=bash
# What scenarios of `net` are told in. Sourced after `look`, which prints what one wants to see of a failure.
set -Eeu
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
ok() { echo "ok: $* (${SECONDS} s)"; }
fail() { trap - ERR; echo "FAILED: $*"; look || :; exit 1; }
# expect WANT WHAT COMMAND...: the command's output must be WANT.
expect() { local got; got=$("${@:3}") || :; [ "$got" = "$1" ] || fail "$2: got '$got', want '$1'"; }
# until_ SECONDS COMMAND...: the command must succeed within that time.
until_() { local end=$((SECONDS + $1)); until "${@:2}" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || fail "not within $1 s: ${*:2}"; sleep 0.2; done; }

# Of those with the package under systemd on the VM "server":
daemons="gateway fusefs lockd statd smbd"
# every daemon is there and the tree is mounted;
whole='s=$(dittofs status 2>&1) && grep -q mounted <<<"$s" && ! grep -q -e away -e "not mounted" <<<"$s"'
look_at_server() { on server "journalctl -b --no-pager | tail -60; dittofs status; dittofs lock list --all"; }
# a package is installed, and serves an existing directory.
serve() {
  on server "dpkg -i $1 >/dev/null && mkdir -p /srv/share/dir && echo before >/srv/share/existing && chown -R tester:tester /srv/share
    printf '[[export]]\npath = \"/srv/share\"\n' >/etc/dittofs/gateway.toml
    DITTOFS_PASSWORD=pw dittofs user add tester >/dev/null && dittofs config check && systemctl start dittofs.target"
  until_ 30 on server "$whole"
}
