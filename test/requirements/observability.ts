import type { Row } from './row.ts'

export const observability = [
  ['OBS-01', 'agent_requests_total', 'The scrape counts requests by agent_id and by success or error.'],
  ['OBS-02', 'agent_duration_seconds', 'The scrape has a histogram of handling times by agent_id.'],
  ['OBS-03', 'agent_queue_size', 'The gauge of an agent is exactly its inbox depth when scraped.'],
  ['OBS-04', 'tool_usage_total', 'The scrape counts tool calls by agent_id and tool_name.'],
  ['OBS-05', 'Agent measurements', 'Number, status, health and utilisation of agents are in the scrape and on the page.'],
  ['OBS-06', 'Task measurements', 'Completion rate and duration of tasks are in the scrape and on the page.'],
  ['OBS-07', 'Queue measurements', 'Queue depths and message throughput are in the scrape and on the page.'],
  ['OBS-08', 'Model measurements', 'Latency, errors, tokens and cost of model calls are in the scrape and on the page.'],
  ['OBS-09', 'Socket measurements', 'The number of open sockets is in the scrape and on the page.'],
  ['OBS-10', 'Vector measurements', 'Figures of the vector store are in the scrape and on the page.'],
  [
    'OBS-11',
    'Distributed traces',
    'A call passing through agents of different nodes makes one trace, read back from Jaeger or, stated as such, from decoded OTLP.',
  ],
  ['OBS-12', 'Traced messages', 'Each message carries the id of its trace from node to node.'],
  ['OBS-13', 'JSON logs', 'Requests, responses and errors each write one structured line bearing the trace id.'],
  ['OBS-14', 'Errors grouped', 'A page gathers like errors together for study.'],
  ['OBS-15', 'Logs to ELK', 'The described log format is taken in by an ELK stack as documented.'],
  ['OBS-16', 'Health checks', 'Liveness, readiness and health answer separately, the last with its dependencies.'],
  ['OBS-17', 'Finding bottlenecks', 'The slowest agent and tool of the past hour can be asked for.'],
  ['OBS-18', 'Profiling', 'A CPU or heap profile is taken whenever it is asked for.'],
  ['OBS-19', 'Metrics of workers', 'A real Prometheus scrapes server and workers and finds every target up.'],
] as const satisfies readonly Row[]
