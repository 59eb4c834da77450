/** Schedules: tasks and graphs that are made at times a cron pattern names. */
import { z } from 'zod'
import { event, operation } from './define.ts'
import { newTask, taskGraph } from './tasks.ts'
import { cursor, id, json, limit, page, receipt, time } from './values.ts'

const cron = z.string().min(1).max(256).meta({
  description: 'Five fields (minute, hour, day of the month, month, day of the week), or six with seconds first.',
})
const zone = z.string().min(1).max(64).meta({ description: 'An IANA time zone, such as Europe/Berlin.' })
const name = z.string().min(1).max(500)
export const catchUp = z.enum(['none', 'last', 'all']).meta({
  description:
    'Of the times that passed while no server ran. none: those more than a minute ago are left out. last: the newest one is made up for. all: each is, the newest hundred at most.',
})
export type CatchUp = z.infer<typeof catchUp>

export const schedule = z.object({
  id,
  schedule_id: id,
  name,
  cron,
  zone,
  catch_up: catchUp,
  enabled: z.boolean(),
  task: json.meta({ description: 'The task that each firing makes; null when it makes a graph.' }),
  graph: json.meta({ description: 'The graph that each firing makes; null when it makes a task.' }),
  next_at: time.nullable().meta({ description: 'Null when it is disabled, or no time is left.' }),
  last_at: time.nullable().meta({ description: 'The time it fired for last.' }),
  fired: z.number().int().meta({ description: 'How often it made something.' }),
  last_made: id.nullable().meta({ description: 'The task or run that was made last.' }),
  last_error: z.string().nullable().meta({ description: 'Why the last firing made nothing.' }),
  created_by: z.string(),
  created_at: time,
  updated_at: time,
})
export type Schedule = z.infer<typeof schedule>

const aliases = { schedule_id: 'id' }
const fields = { timezone: 'zone', time_zone: 'zone', dag: 'graph' }
const changed = schedule.extend({ receipt: receipt.nullable() })

export const scheduleOperations = {
  create: operation({
    name: 'schedules.create',
    kind: 'command',
    summary: 'Make a task, or a graph, at times that a cron pattern names',
    description:
      'Give either `task` or `graph`, as tasks.create and tasks.dag take them. Each time makes it exactly once, in the name of who made the schedule, whatever restarts in between; the task then has `schedule_id`.',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/schedules' }],
    status: 201,
    idempotent: false,
    destructive: false,
    aliases: fields,
    input: z.object({
      name,
      cron,
      zone: zone.default('UTC'),
      catch_up: catchUp.default('last'),
      enabled: z.boolean().default(true),
      task: newTask.optional(),
      graph: taskGraph.optional(),
    }),
    output: schedule.extend({ receipt }),
  }),
  list: operation({
    name: 'schedules.list',
    kind: 'query',
    summary: 'List schedules',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/schedules' }],
    idempotent: true,
    destructive: false,
    input: z.object({ enabled: z.boolean().optional(), limit, cursor }),
    output: page(schedule),
  }),
  get: operation({
    name: 'schedules.get',
    kind: 'query',
    summary: 'Read a schedule',
    permission: 'tasks:read',
    routes: [{ method: 'GET', path: '/schedules/{id}' }],
    idempotent: true,
    destructive: false,
    aliases,
    input: z.object({ id }),
    output: schedule,
  }),
  update: operation({
    name: 'schedules.update',
    kind: 'command',
    summary: 'Change a schedule',
    description: 'Another pattern or zone, or enabling it, counts from now on: times that passed before are not made up for.',
    permission: 'tasks:write',
    routes: [{ method: 'PUT', path: '/schedules/{id}' }],
    idempotent: true,
    destructive: false,
    aliases: { ...aliases, ...fields },
    input: z.object({
      id,
      name: name.optional(),
      cron: cron.optional(),
      zone: zone.optional(),
      catch_up: catchUp.optional(),
      enabled: z.boolean().optional(),
      task: newTask.optional(),
      graph: taskGraph.optional(),
    }),
    output: changed,
  }),
  delete: operation({
    name: 'schedules.delete',
    kind: 'command',
    summary: 'Delete a schedule',
    description: 'What it made stays.',
    permission: 'tasks:write',
    routes: [{ method: 'DELETE', path: '/schedules/{id}' }],
    idempotent: false,
    destructive: true,
    aliases,
    input: z.object({ id }),
    output: z.object({ id, deleted: z.literal(true), receipt }),
  }),
  run_now: operation({
    name: 'schedules.run_now',
    kind: 'command',
    summary: 'Fire a schedule now, beside its times',
    permission: 'tasks:write',
    routes: [{ method: 'POST', path: '/schedules/{id}/run' }],
    status: 201,
    idempotent: false,
    destructive: false,
    aliases,
    input: z.object({ id }),
    output: z.object({ id, task_id: id.nullable(), run_id: id.nullable(), receipt }),
  }),
} as const

const scheduleEvent = <const N extends string>(name: N, summary: string) =>
  event({ name, schema_version: 1, summary, topic: 'agent.tasks', data: z.object({ schedule_id: id, name: z.string() }) })

export const scheduleEvents = {
  created: scheduleEvent('schedule.created', 'A schedule was made'),
  updated: scheduleEvent('schedule.updated', 'A schedule was changed'),
  deleted: scheduleEvent('schedule.deleted', 'A schedule was deleted'),
  fired: event({
    name: 'schedule.fired',
    schema_version: 1,
    summary: 'A schedule fired, or times of it passed without',
    topic: 'agent.tasks',
    data: z.object({
      schedule_id: id,
      name: z.string(),
      for: time
        .nullable()
        .meta({ description: 'The time it fired for; null when it was fired by hand, or made up for nothing.' }),
      task_id: id.nullable(),
      run_id: id.nullable(),
      left_out: z.number().int().meta({ description: 'Times that passed and are not made up for.' }),
    }),
  }),
  failed: event({
    name: 'schedule.failed',
    schema_version: 1,
    summary: 'A firing of a schedule made nothing; the next time is tried again',
    topic: 'agent.tasks',
    data: z.object({ schedule_id: id, name: z.string(), for: time, reason: z.string() }),
  }),
} as const
