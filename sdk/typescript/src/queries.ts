/**
 * Operations that only read. They travel without an idempotency key; everything else carries one, so that sending it again after a
 * lost connection has no second effect. The contract is here as types only, so the list is kept by hand and a test compares the two.
 */
export const queries: ReadonlySet<string> = new Set([
  'agents.list',
  'agents.get',
  'messages.list',
  'messages.get',
  'messages.dead_letters',
  'tasks.list',
  'tasks.get',
  'tasks.status',
  'memory.get',
  'memory.list',
  'memory.history',
  'knowledge.search',
  'knowledge.list',
  'knowledge.get',
  'knowledge.chunks',
  'knowledge.collections',
  'tools.list',
  'tools.calls',
  'artifacts.get',
  'artifacts.download',
  'artifacts.list',
  'models.info',
  'system.health',
  'system.metrics',
  'events.list',
  'events.unwatch',
  'system.whoami',
  'keys.list',
])
