# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A real systemd for a test: a copy-on-write view of this host boots in a container, in the lab's network, where
# the agent is installed as README.md says. Nothing of the host is changed. To be sourced by a test that runs itself inside:
#
#     tests/lab/run --no-agent TEST BUILD
#
#     . container.sh
#     inside() { installs && check 'it starts' systemctl start writebackd; }
#     container_run "$@"
#
# Uses of a test's own: SECONDS_MAX for how long it may take.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TREE=$(cd "$HERE/../.." && pwd)
SCRATCH=$WRITEBACK_LAB_SCRATCH
CONFIG=/etc/writeback/writebackd.conf
TEST=$HERE/$(basename "$0")
SECONDS_MAX=${SECONDS_MAX:-180}

# container_run BUILD: out here makes the container and has this test run in it; in there, does so.
container_run() {
    if [[ $1 == --inside ]]; then
        inside
        echo "$passed passed, $failed failed"
    else
        BUILD=$1
        outside
    fi
}

# ---- Outside: a view of this host, with the agent installed --------------------------------------

outside() {
    make_view
    configure_agent
    install_test
    serve_the_inside &
    trap "kill $! || true" EXIT
    timeout $((SECONDS_MAX + 60)) systemd-nspawn -D "$ROOT" --register=no --keep-unit --quiet --console=pipe \
        --bind="$SCRATCH" --bind-ro="$TREE" --bind-ro="$WRITEBACK_LAB_CACHE" --bind-ro="$BUILD" --bind-ro=/etc/hosts \
        --boot systemd.unit=writeback-test.target >"$SCRATCH/log/container.log" 2>&1 </dev/null || true
    cat "$SCRATCH/test.out"
    if [[ ${WRITEBACK_EVENTS-} && -e $SCRATCH/test.events ]]; then
        cat "$SCRATCH/test.events" >>"$WRITEBACK_EVENTS"
    fi
    grep -q ' 0 failed$' "$SCRATCH/test.out"
}

make_view() {
    local view=$SCRATCH/view
    mkdir -p "$view"
    mount -t tmpfs -o mode=755 writeback-view "$view"
    mkdir "$view/upper" "$view/work" "$view/root"
    mount -t overlay -o "lowerdir=/,upperdir=$view/upper,workdir=$view/work" overlay "$view/root"
    ROOT=$view/root
    # Nothing of this host but the agent runs in it.
    : >"$ROOT/etc/machine-id"
    rm -rf "$ROOT/var/log/journal"
}

# The lab's configuration, as an administrator would install it: secrets become credentials of the unit.
configure_agent() {
    install -D -m 644 "$WRITEBACK_LAB_AGENT_CONFIG" "$ROOT$CONFIG"
    sed -i -e '/^StateDirectory=/d' -e '/Credential=/d' "$ROOT$CONFIG"
    install -d -m 700 "$ROOT/etc/writeback/credentials"
    install -m 600 -t "$ROOT/etc/writeback/credentials" "$SCRATCH"/agent/credentials/*
    # The authority's certificate lies where the service's sandbox lets it be read.
    install -m 644 "$WRITEBACK_LAB_DC_CA" "$ROOT/etc/writeback/ca.pem"
    sed -i 's|^CaFile=.*|CaFile=/etc/writeback/ca.pem|' "$ROOT$CONFIG"
    # As MICROSOFT GRAPH in writebackd.conf(5) tells.
    install -m 644 "$SCRATCH/ca/graph.pem" "$ROOT/etc/writeback/graph.pem"
    sed -i 's|^ClientCertificate=.*|ClientCertificate=/etc/writeback/graph.pem|' "$ROOT$CONFIG"
    install -d "$ROOT/etc/systemd/system/writebackd.service.d"
    cat >"$ROOT/etc/systemd/system/writebackd.service.d/graph.conf" <<UNIT
[Service]
LoadCredential=graph-key:/etc/writeback/credentials/graph-key
UNIT
}

install_test() {
    cat >"$ROOT/etc/systemd/system/writeback-test.target" <<'UNIT'
[Unit]
Requires=writeback-test.service
After=writeback-test.service
AllowIsolate=yes
UNIT
    cat >"$ROOT/etc/systemd/system/writeback-test.service" <<UNIT
[Unit]
DefaultDependencies=no
Requires=sysinit.target
Wants=dbus.service
After=sysinit.target dbus.service
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
EnvironmentFile=/writeback-test.env
ExecStart=$TEST --inside
StandardOutput=file:$SCRATCH/test.out
StandardError=file:$SCRATCH/test.out
TimeoutStartSec=$SECONDS_MAX
UNIT
    {
        env | grep '^WRITEBACK_LAB_'
        echo "BUILD=$BUILD"
        echo "PATH=/usr/sbin:/usr/bin:/sbin:/bin:$(dirname "$(command -v node)")"
        echo "LANG=C.UTF-8"
    } >"$ROOT/writeback-test.env"
}

# Controllers and the way to them are no processes of the container's: what does something to them asks for it here.
serve_the_inside() {
    local request
    # shellcheck source=../lab/names
    . "$TREE/tests/lab/names"
    # shellcheck source=../lab/controller
    . "$TREE/tests/lab/controller"
    mkfifo "$SCRATCH/requests"
    while read -r request <>"$SCRATCH/requests"; do
        eval "$request" >"$SCRATCH/log/requests.log" 2>&1 || true
        touch "$SCRATCH/request-done"
    done
}

# ---- Inside: one test after the other, as an administrator would look ----------------------------

# README.md's last two commands, and no more.
installs() {
    make -C "$BUILD" install >/tmp/install.log 2>&1 && systemd-sysusers && systemctl daemon-reload && return
    echo "not ok - it cannot be installed" && cat /tmp/install.log && return 1
}

passed=0 failed=0
check() { # WHAT COMMAND…
    local name=$1
    shift
    if "$@" >/tmp/said 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        sed 's/^/    /' /tmp/said
        { systemctl status --no-pager --full writebackd 2>&1 || true; } | tail -n 20 | sed 's/^/    /'
        failed=$((failed + 1))
    fi
}

within() { # SECONDS COMMAND…: waits for a state that nobody announces
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# outside_do COMMAND: a line of shell, where the lab's controllers are (tests/lab/controller).
outside_do() {
    rm -f "$SCRATCH/request-done"
    echo "$1" >"$SCRATCH/requests"
    within 30 test -e "$SCRATCH/request-done"
}

entries() { journalctl --quiet --no-pager --output=cat -u writebackd "$@"; }
has_event() { [[ $(entries "WRITEBACK_EVENT=$1") ]]; }
is_ready() { curl --silent --fail --output /dev/null "$WRITEBACK_LAB_HEALTH_URL/readyz"; }
status_line() { systemctl show --property=StatusText --value writebackd; }
main_pid() { systemctl show --property=MainPID --value writebackd; }
note_events() {
    journalctl --quiet --no-pager -o json -u writebackd -t writebackd -t writebackctl | jq -r '.WRITEBACK_EVENT // empty' >"$SCRATCH/test.events"
}
