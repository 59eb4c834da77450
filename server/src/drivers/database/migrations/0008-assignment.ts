/** How agents are chosen for tasks, and why. */
import type { Dialect } from '../port.ts'

export const assignment = (_dialect: Dialect): readonly string[] => [
  // JSON of how the task is to be placed; null when it says nothing about that. fallback_at: which of its fallbacks was tried last.
  `alter table tasks add column placement text`,
  `alter table tasks add column fallback_at integer not null default 0`,
  // card: the decision as compact JSON, null where somebody named the agent. partial: what a failed attempt got done, as JSON.
  `alter table task_attempts add column reason text`,
  `alter table task_attempts add column card text`,
  `alter table task_attempts add column code text`,
  `alter table task_attempts add column retry_at integer`,
  `alter table task_attempts add column partial text`,
  `alter table agents add column allow_delegation integer not null default 1`,
  `alter table agents add column fallback text not null default '[]'`,
  // Assigned by name, and not taken: the agent is away.
  `create index tasks_untaken on tasks (updated_at, id) where state = 'assigned' and lease_until is null`,
  `create table assignment_settings (tenant integer not null primary key, strategy text not null, updated_by integer not null, updated_at integer not null)`,
  `create table task_affinities (tenant integer not null, key text not null, agent integer not null, bound_at integer not null, primary key (tenant, key))`,
]
