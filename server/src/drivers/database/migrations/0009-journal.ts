/** Steps of tasks that need not be done again, and questions that wait for an answer. */
import type { Dialect } from '../port.ts'

export const journal = (_dialect: Dialect): readonly string[] => [
  // position numbers the steps of a task from 1: their order, and their bound without counting.
  `create table task_steps (
     tenant integer not null, task text not null, name text not null, position integer not null, state text not null, effect text not null,
     token integer not null, attempt integer not null, agent integer not null, input_hash text, result text not null, size integer not null,
     artifact text, begun_at integer not null, finished_at integer, primary key (tenant, task, name))`,
  `create unique index task_steps_position on task_steps (tenant, task, position)`,
  // told: the operator's inbox has it.
  `create table task_inputs (
     tenant integer not null, id text not null, task text not null, key text not null, kind text not null, state text not null,
     prompt text not null, schema text, action text, args text not null, step text, asked_by integer not null, asked_at integer not null,
     answer text not null, approved integer, comment text, answered_by integer, answered_at integer, told integer not null,
     primary key (tenant, id))`,
  `create unique index task_inputs_key on task_inputs (tenant, task, key)`,
  `create index task_inputs_task on task_inputs (tenant, task, id)`,
  `create index task_inputs_kind on task_inputs (tenant, kind, id)`,
  `create index task_inputs_open on task_inputs (tenant, id) where state = 'open'`,
  `create index task_inputs_untold on task_inputs (tenant, id) where told = 0`,
]
