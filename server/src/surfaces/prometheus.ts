/** The JSON metrics as Prometheus text. */
import type { OutputOf } from '@cadre/contract'

export function prometheus(metrics: OutputOf<'system.metrics'>): string {
  const lines: string[] = []
  const metric = (name: string, type: 'gauge' | 'counter', help: string, samples: readonly [labels: string, value: number][]) => {
    lines.push(
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
    )
  }
  const labelled = (label: string, values: Record<string, number>) =>
    Object.entries(values).map(([key, value]): [string, number] => [`{${label}="${key}"}`, value])
  metric('cadre_agents', 'gauge', 'Agents by status.', labelled('status', metrics.agents.by_status))
  metric('cadre_agents_online', 'gauge', 'Agents that are online.', [['', metrics.agents.online]])
  metric('cadre_tasks', 'gauge', 'Tasks by state.', labelled('state', metrics.tasks.by_state))
  metric('cadre_messages_stored_total', 'counter', 'Messages stored.', [['', metrics.messages.total]])
  metric('cadre_messages_delivered_total', 'counter', 'Deliveries handed out since the process started.', [
    ['', metrics.messages.delivered],
  ])
  metric('cadre_messages_acknowledged_total', 'counter', 'Deliveries acknowledged since the process started.', [
    ['', metrics.messages.acknowledged],
  ])
  metric('cadre_messages_redelivered_total', 'counter', 'Deliveries handed out again since the process started.', [
    ['', metrics.messages.redelivered],
  ])
  metric('cadre_inbox_waiting', 'gauge', 'Deliveries that wait.', [['', metrics.messages.waiting]])
  metric('cadre_inbox_leased', 'gauge', 'Deliveries in the hands of agents.', [['', metrics.messages.leased]])
  metric('cadre_dead_letters', 'gauge', 'Deliveries that died.', [['', metrics.messages.dead]])
  metric('cadre_connections', 'gauge', 'Open sockets.', [['', metrics.connections]])
  metric('cadre_log_seq', 'counter', 'Position of the newest log entry.', [['', metrics.log_seq]])
  metric(
    'cadre_consumer_lag',
    'gauge',
    'Entries that a group has not committed, by topic.',
    metrics.consumers.flatMap(({ group, lag }) =>
      Object.entries(lag).map(([topic, count]): [string, number] => [`{group="${group}",topic="${topic}"}`, count]),
    ),
  )
  metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [['', metrics.process.rss_bytes]])
  metric('cadre_event_loop_p99_seconds', 'gauge', 'Event loop delay, 99th percentile.', [
    ['', metrics.process.event_loop_p99_ms / 1000],
  ])
  return `${lines.join('\n')}\n`
}
