// SPDX-License-Identifier: Apache-2.0

// From pages of metrics that an agent really wrote to what `promtool test rules` takes, so that alerts and dashboard are
// tried on its series as they are there from its start on:
//
//     node tests/integration/alert-cases.mjs RULES DASHBOARD FRESH LATER ALERT >cases.json
//
// While the page is FRESH no alert of RULES fires, and there is a series for whatever they ask with labels. After it was FRESH for 20 minutes and then LATER, ALERT does, and no
// other; and each query of DASHBOARD finds something.

import { readFileSync } from 'node:fs';

const [, , rules, dashboard, fresh, later, alert] = process.argv;
const MINUTES_FRESH = 20;
const MINUTES_LATER = 100;

const now = Date.now() / 1000;
/** promtool's time begins at 0. */
const relative = (name, value) => (/_(timestamp|start_time)_seconds$/.test(name) ? value - now : value);

/** {series: value} */
function samplesOf(path) {
  const samples = { up: 1 };
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [, name, labels = '', value] = line.match(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/) ?? [];
    if (name) samples[`${name}{${labels}${labels && ','}job="writeback",instance="a"}`] = relative(name, Number(value));
  }
  samples['up{job="writeback",instance="a"}'] = samples.up;
  delete samples.up;
  return samples;
}

const before = samplesOf(fresh);
const after = samplesOf(later);
const firing = (time, ...alerts) => ({
  expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
  eval_time: `${time}m`,
  exp_samples: alerts.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 })),
});
const selectors = new Set(readFileSync(rules, 'utf8').match(/\b(writeback|process)_[a-z_]+\{[^}]+\}/g));
const queries = JSON.parse(readFileSync(dashboard)).panels.flatMap(({ targets }) => targets.map(({ expr }) => expr
  .replaceAll('$__rate_interval', '5m')
  .replaceAll(/\$(job|instance)/g, '.*')));
const finds = (time) => (query) => ({
  expr: `count(${query}) > bool 0`,
  eval_time: `${time}m`,
  exp_samples: [{ labels: '{}', value: 1 }],
});
const forMinutes = (value, minutes) => Array(minutes).fill(value ?? '_').join(' ');

console.log(JSON.stringify({
  rule_files: [rules],
  evaluation_interval: '1m',
  tests: [
    {
      name: 'an agent as it is after its start',
      interval: '1m',
      input_series: Object.entries(before)
        .map(([series, value]) => ({ series, values: forMinutes(value, MINUTES_LATER) })),
      promql_expr_test: [...[...selectors].map(finds(1)), firing(10), firing(MINUTES_LATER - 1)],
    },
    {
      name: 'the same, when its first request has ended',
      interval: '1m',
      input_series: Object.entries(after).map(([series, value]) => (
        { series, values: `${forMinutes(before[series], MINUTES_FRESH)} ${forMinutes(value, MINUTES_LATER)}` })),
      promql_expr_test: [
        firing(MINUTES_FRESH - 1),
        firing(MINUTES_FRESH + 10, alert),
        ...queries.map(finds(MINUTES_FRESH + 2)),
      ],
    },
  ],
}, null, 1));
