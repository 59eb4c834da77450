/** Join rules, failure policies, runs, schedules and deadlines of tasks. */
import type { Dialect } from '../port.ts'

export const graphs = (_dialect: Dialect): readonly string[] => [
  `alter table tasks add column join_rule text not null default 'all_success'`,
  `alter table tasks add column fail_fast integer not null default 0`,
  // The task, or one above it, is in a run that is paused: nothing of it begins. On the row, so that every move sees it.
  `alter table tasks add column run_paused integer not null default 0`,
  `alter table tasks add column retry_of text`,
  `alter table tasks add column schedule text`,
  `alter table tasks add column deadline integer`,
  `alter table tasks add column timeout_ms integer`,
  `alter table tasks add column attempt_until integer`,
  `create index tasks_deadline on tasks (deadline, id) where deadline is not null and completed_at is null`,
  `create index tasks_attempt on tasks (attempt_until) where attempt_until is not null`,

  // With the task in it: without, SQLite asked who waits for a task of the key that begins with the tenant, and walked all of 10,000
  // dependencies for each of 10,000 tasks that ended (9.7 s in all, now less than 25 ms).
  `drop index task_dependents`,
  `create index task_dependents on task_dependencies (tenant, depends_on, task)`,

  // What is open is counted in the transaction that ends a task, so that the last one ends the run.
  `create table runs (
     tenant integer not null, id text not null, name text not null, creator integer not null, parent text, schedule text,
     on_failure text not null, state text not null, deadline integer, total integer not null, open integer not null,
     completed integer not null, failed integer not null, cancelled integer not null, skipped integer not null,
     created_at integer not null, updated_at integer not null, ended_at integer, primary key (tenant, id))`,
  `create index runs_state on runs (tenant, state, id)`,
  `insert into runs select tenant, run, min(run_name), min(creator), min(parent), null, 'skip_downstream',
     case when sum(case when completed_at is null then 1 else 0 end) > 0 then 'running'
       when sum(case when state in ('failed', 'rejected') then 1 else 0 end) > 0 then 'failed'
       when sum(case when state in ('cancelled', 'skipped') then 1 else 0 end) > 0 then 'cancelled' else 'completed' end,
     null, count(*), sum(case when completed_at is null then 1 else 0 end), sum(case when state = 'completed' then 1 else 0 end),
     sum(case when state in ('failed', 'rejected') then 1 else 0 end), sum(case when state = 'cancelled' then 1 else 0 end),
     sum(case when state = 'skipped' then 1 else 0 end), min(created_at), max(updated_at),
     case when sum(case when completed_at is null then 1 else 0 end) > 0 then null else max(completed_at) end
     from tasks where run is not null group by tenant, run`,

  // body: the task or the graph to make, as JSON. next_at: the one time that decides who fires it.
  `create table schedules (
     tenant integer not null, id text not null, name text not null, cron text not null, zone text not null, kind text not null,
     body text not null, catch_up text not null, enabled integer not null, next_at integer, last_at integer, fired integer not null,
     last_made text, last_error text, created_by integer not null, created_at integer not null, updated_at integer not null,
     primary key (tenant, id))`,
  `create index schedules_next on schedules (next_at) where enabled = 1 and next_at is not null`,
]
