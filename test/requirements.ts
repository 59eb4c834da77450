import { agents } from './requirements/agents.ts'
import { analytics } from './requirements/analytics.ts'
import { beyond } from './requirements/beyond.ts'
import { collaboration } from './requirements/collaboration.ts'
import { dashboard } from './requirements/dashboard.ts'
import { knowledge } from './requirements/knowledge.ts'
import { memory } from './requirements/memory.ts'
import { messaging } from './requirements/messaging.ts'
import { observability } from './requirements/observability.ts'
import { operations } from './requirements/operations.ts'
import { reliability } from './requirements/reliability.ts'
import { restApi } from './requirements/rest-api.ts'
import { sdk } from './requirements/sdk.ts'
import { security } from './requirements/security.ts'
import { tasks } from './requirements/tasks.ts'
import { tools } from './requirements/tools.ts'
import { websocketEvents } from './requirements/websocket-events.ts'

/** What the product promises, by area. An id is never reused or renumbered: tests cite it for good. */
export const areas = [
  { area: 'MSG', name: 'Messages and bus', rows: messaging },
  { area: 'AGT', name: 'Agents', rows: agents },
  { area: 'COL', name: 'Collaboration', rows: collaboration },
  { area: 'TSK', name: 'Tasks', rows: tasks },
  { area: 'MEM', name: 'Memory', rows: memory },
  { area: 'KNW', name: 'Knowledge', rows: knowledge },
  { area: 'TOL', name: 'Tools', rows: tools },
  { area: 'API', name: 'REST API', rows: restApi },
  { area: 'WSE', name: 'Socket events', rows: websocketEvents },
  { area: 'SDK', name: 'SDK and command line', rows: sdk },
  { area: 'UI', name: 'Dashboard and landing page', rows: dashboard },
  { area: 'OBS', name: 'Observability', rows: observability },
  { area: 'ANL', name: 'Analytics and learning', rows: analytics },
  { area: 'SEC', name: 'Security and tenants', rows: security },
  { area: 'REL', name: 'Reliability', rows: reliability },
  { area: 'OPS', name: 'Scale and deployment', rows: operations },
  { area: 'BYD', name: 'Beyond the source documents', rows: beyond },
] as const

type Area = (typeof areas)[number]['area']
export type RequirementId = (typeof areas)[number]['rows'][number][0]

/** `title` names the promise, `behaviour` says what someone who tries it gets to see. */
type Requirement = { id: RequirementId; area: Area; title: string; behaviour: string }

export const requirements: readonly Requirement[] = areas.flatMap(({ area, rows }) =>
  rows.map(([id, title, behaviour]) => ({ id, area, title, behaviour })),
)

const ids: ReadonlySet<string> = new Set(requirements.map(({ id }) => id))

export function isRequirementId(text: string): text is RequirementId {
  return ids.has(text)
}
