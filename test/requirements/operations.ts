import type { Row } from './row.ts'

export const operations = [
  ['OPS-01', 'One process, one file', 'A single command starts everything locally on one SQLite file.'],
  ['OPS-02', 'Several nodes', 'Three nodes answer from one common registry.'],
  ['OPS-03', 'Stateless replicas', 'It makes no difference which replica takes a request.'],
  [
    'OPS-04',
    'Scaling out',
    'A thousand waiting tasks raise the workers from three towards fifty and back, by a metric that exists; orchestrators scale from two to ten.',
  ],
  [
    'OPS-05',
    'Containers',
    'The root Compose file brings up core, data, broker, monitoring and three workers, or its services are run natively as the file states.',
  ],
  [
    'OPS-06',
    'Kubernetes',
    'The documented commands apply the nine manifests with ingress and autoscaler as they stand; all validate offline against their schemas.',
  ],
  [
    'OPS-07',
    'Connections by environment',
    'DATABASE_URL, REDIS_URL and KAFKA_BOOTSTRAP_SERVERS select PostgreSQL, Redis and Kafka.',
  ],
  [
    'OPS-08',
    'Settings by environment',
    'Provider keys, LOG_LEVEL and the tracing endpoint are listed in the docs and checked on start.',
  ],
  ['OPS-09', 'Migrations', 'They are tested in both directions and carry a database over from the release before.'],
  [
    'OPS-10',
    'Sharding',
    'While live, a tenant is moved from one of the two databases to the other; its hashes agree and searches stay apart.',
  ],
  ['OPS-11', 'Load balancer', 'Plain round robin with no sticky sessions is sufficient.'],
  [
    'OPS-12',
    'Monitoring ports',
    'Compose wires API 8000, Prometheus 9090, Grafana 3000, Jaeger 16686 and Redis Insight 8001, and each panel query returns data.',
  ],
  ['OPS-13', 'Scaling up', 'A tuning page gives advice with the effect that was measured.'],
  ['OPS-14', 'Documentation', 'docs/api.md, docs/sdk-guide.md and docs/deployment.md are there and tested.'],
  ['OPS-15', 'Engineering practice', 'Unit and integration tests, coverage and CI are real, and so are the badges.'],
  ['OPS-16', 'Licence and contributing', 'An MIT licence and a guide for contributors are in the repository.'],
  [
    'OPS-17',
    'Map of documented folders',
    'Each folder and file of the source documents is mapped to a path here, and every such path exists.',
  ],
] as const satisfies readonly Row[]
