#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What is there for monitoring fits together: Prometheus's own tool takes the agent's metrics, the alerts
# and the dashboard's queries; alerts come when they should; and the manual says of every metric what a bad
# value means.
#
#     sudo tests/lab/run tests/integration/monitoring.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/packages

MONITORING=packaging/monitoring
FOLDER=$WRITEBACK_LAB_SCRATCH/monitoring
mkdir -p "$FOLDER"

check() { # WHAT COMMAND…
    local what=$1
    shift
    if "$@" >"$FOLDER/said" 2>&1; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        sed 's/^/    /' "$FOLDER/said"
        failed=1
    fi
}
failed=0

page() { curl --silent --fail "$@" "$WRITEBACK_LAB_HEALTH_URL/metrics"; }
queries() { jq -r '.panels[].targets[].expr' "$MONITORING/dashboard.json"; }
# The families of a page, samples' suffixes included.
families() { sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$FOLDER/metrics" | sort -u; }

# All of a page's parts, each well.
all_is_well() {
    local part
    for part in relay directory issuer keys ledger clock sync licence; do
        grep -q "^writeback_component_status{component=\"$part[\":].*status=\"pass\"} 1" "$1" ||
            { echo "no $part that is well"; return 1; }
    done
}
# The relay answered a PING; it is sent one every 30 s.
relay_was_heard() {
    grep '^writeback_relay_last_heartbeat_timestamp_seconds{relay="primary"} [1-9]' "$1" ||
        { echo "nothing was heard of the relay"; return 1; }
}
page_until() { # FILE CONDITION
    local deadline=$((SECONDS + 90))
    until page >"$1" && "$2" "$1" >"$FOLDER/why"; do
        ((SECONDS < deadline)) || { cat "$FOLDER/why"; return 1; }
        sleep 0.1
    done
}
# Before any request, and after one that the agent's rights do not suffice for.
has_metrics() {
    page_until "$FOLDER/fresh" all_is_well &&
        [[ $(node tests/integration/reset-once.mjs oscar) == *ADPermissionsError* ]] &&
        page_until "$FOLDER/metrics" relay_was_heard
}
metrics_are_good() { "$PROMTOOL" check metrics <"$FOLDER/metrics"; }
# Prometheus's own parser of OpenMetrics is the one that fills its database; it wants the time of each sample.
open_metrics_are_good() {
    page --header 'Accept: application/openmetrics-text; version=1.0.0' | tee "$FOLDER/open" |
        sed "/^#/! s/\$/ $(date +%s)/" >"$FOLDER/timed" &&
        [[ $(tail -n 1 "$FOLDER/open") == '# EOF' ]] &&
        "$PROMTOOL" tsdb create-blocks-from openmetrics "$FOLDER/timed" "$FOLDER/database"
}
rules_are_right() { "$PROMTOOL" check rules "$MONITORING/alerts.yml"; }
alerts_come_when_they_should() { "$PROMTOOL" test rules "$MONITORING/alerts.test.yml"; }
every_alert_is_tested_both_ways() {
    local alert tests=$MONITORING/alerts.test.yml
    while read -r alert; do
        grep -q "{eval_time: [0-9hm]*, alertname: $alert}" "$tests" || { echo "$alert never keeps quiet"; return 1; }
        grep -A 1 "^ *alertname: $alert$" "$tests" | grep -q 'exp_alerts: \[{' || { echo "$alert never comes"; return 1; }
    done < <(sed -n 's/^ *- alert: //p' "$MONITORING/alerts.yml")
}
alerts_and_dashboard_see_the_first_failure_of_an_agent() {
    node tests/integration/alert-cases.mjs "$PWD/$MONITORING/alerts.yml" "$MONITORING/dashboard.json" \
        "$FOLDER/fresh" "$FOLDER/metrics" WritebackRightsMissing >"$FOLDER/cases.json" &&
        "$PROMTOOL" test rules "$FOLDER/cases.json"
}

# As rules, whose language promtool can check.
queries_are_right() {
    {
        echo 'groups: [{name: dashboard, rules: ['
        queries | sed 's/\$__rate_interval/5m/g' | jq -R '{record: "dashboard:query", expr: .}' | sed 's/^}$/},/'
        echo ']}]'
    } >"$FOLDER/queries.yml"
    "$PROMTOOL" check rules --lint=none "$FOLDER/queries.yml"
}

every_panel_is_described() {
    [[ ! $(jq -r '.panels[] | select((.description // "") == "") | .title' "$MONITORING/dashboard.json" | tee /dev/stderr) ]]
}

# What rules and dashboard ask for, the agent has. Reports are not configured in the lab; Prometheus makes up "up".
only_known_metrics_are_asked_for() {
    local name
    while read -r name; do
        families | grep -qx "${name%_bucket}" || [[ $name == writeback_report* ]] || { echo "$name"; return 1; }
    done < <({ queries; cat "$MONITORING/alerts.yml"; } | grep -oE '\b(writeback|process)_[a-z_]+' | sort -u)
}
the_manual_explains_every_metric() {
    local name
    while read -r name; do
        grep -q "$name" packaging/man/writebackd.8 || { echo "$name"; return 1; }
    done < <(families)
}
every_runbook_names_an_event_that_there_is() {
    local event
    while read -r event; do
        grep -q "^EVENT([A-Z_0-9]*, $event," agent/base/outcome.def || { echo "$event"; return 1; }
    done < <(grep -oE 'explain [0-9]+' "$MONITORING"/* | grep -oE '[0-9]+$' | sort -u)
}

PROMTOOL=$(promtool_in "$WRITEBACK_LAB_CACHE") || exit 1
check 'the agent has metrics' has_metrics
check 'promtool finds nothing wrong with them' metrics_are_good
check 'nor with them as OpenMetrics' open_metrics_are_good
check 'the alerts are right' rules_are_right
check 'each alert comes when it should, and not before' alerts_come_when_they_should
check 'each alert is tested both ways' every_alert_is_tested_both_ways
check "none comes for the agent as it starts, the right one with its first failure, and the dashboard shows it" \
    alerts_and_dashboard_see_the_first_failure_of_an_agent
check "the dashboard's queries are right" queries_are_right
check 'each of its panels says what a bad value means' every_panel_is_described
check 'alerts and dashboard ask for metrics that there are' only_known_metrics_are_asked_for
check 'the manual explains every metric' the_manual_explains_every_metric
check 'every runbook names an event that there is' every_runbook_names_an_event_that_there_is
exit "$failed"
