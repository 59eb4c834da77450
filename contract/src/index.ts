/** The contract: every operation, event, lifecycle and error of Cadre. zod only; runs in a browser. */
import type { z } from 'zod'
import { agentEvents, agentOperations } from './agents.ts'
import { artifactEvents, artifactOperations } from './artifacts.ts'
import { assignmentEvents, assignmentOperations } from './assignment.ts'
import { brakeEvents, brakeOperations } from './brakes.ts'
import { connectionOperations } from './connections.ts'
import type { EventSpec, Operation } from './define.ts'
import { consumerEvents, consumerOperations, eventOperations } from './events.ts'
import { inputEvents, inputOperations } from './input.ts'
import { journalEvents, journalOperations } from './journal.ts'
import { knowledgeEvents, knowledgeOperations } from './knowledge.ts'
import { memoryEvents, memoryOperations } from './memory.ts'
import { messageEvents, messageOperations } from './messages.ts'
import { modelEvents, modelOperations } from './models.ts'
import { receiptEvents, receiptOperations } from './receipts.ts'
import { routingEvents, routingOperations } from './routing.ts'
import { runEvents, runOperations } from './runs.ts'
import { scheduleEvents, scheduleOperations } from './schedules.ts'
import { systemEvents, systemOperations } from './system.ts'
import { taskEvents, taskOperations } from './tasks.ts'
import { toolEvents, toolOperations } from './tools.ts'
import { trafficOperations } from './traffic.ts'

export * from './agents.ts'
export * from './artifacts.ts'
export * from './assignment.ts'
export * from './brakes.ts'
export * from './connections.ts'
export * from './define.ts'
export * from './errors.ts'
export * from './event-topics.ts'
export * from './events.ts'
export * from './frames.ts'
export * from './input.ts'
export * from './journal.ts'
export * from './knowledge.ts'
export * from './memory.ts'
export * from './messages.ts'
export * from './models.ts'
export * from './pushes.ts'
export * from './receipts.ts'
export * from './routing.ts'
export * from './runs.ts'
export * from './schedules.ts'
export * from './system.ts'
export * from './tasks.ts'
export * from './tools.ts'
export * from './traffic.ts'
export * from './values.ts'

const groups = {
  ...prefixed(agentOperations),
  ...prefixed(messageOperations),
  ...prefixed(receiptOperations),
  ...prefixed(routingOperations),
  ...prefixed(brakeOperations),
  ...prefixed(trafficOperations),
  ...prefixed(taskOperations),
  ...prefixed(runOperations),
  ...prefixed(scheduleOperations),
  ...prefixed(assignmentOperations),
  ...prefixed(journalOperations),
  ...prefixed(inputOperations),
  ...prefixed(memoryOperations),
  ...prefixed(knowledgeOperations),
  ...prefixed(toolOperations),
  ...prefixed(artifactOperations),
  ...prefixed(modelOperations),
  ...prefixed(eventOperations),
  ...prefixed(consumerOperations),
  ...prefixed(systemOperations),
  ...prefixed(connectionOperations),
}

type ByName<G extends Readonly<Record<string, Operation>>> = { [O in G[keyof G] as O['name']]: O }

function prefixed<G extends Readonly<Record<string, Operation>>>(group: G): ByName<G> {
  return Object.fromEntries(Object.values(group).map((entry) => [entry.name, entry])) as ByName<G>
}

/** Every operation by name. */
export const operations = groups
export type Operations = typeof operations
export type OperationName = keyof Operations
/** What a client sends: fields with a default may be left out. */
export type InputOf<N extends OperationName> = z.input<Operations[N]['input']>
/** What the service receives: validated, defaults filled in. */
export type ParsedInputOf<N extends OperationName> = z.output<Operations[N]['input']>
export type OutputOf<N extends OperationName> = z.output<Operations[N]['output']>

/** Every event by name. */
export const events: Readonly<Record<string, EventSpec>> = Object.fromEntries(
  [
    agentEvents,
    brakeEvents,
    messageEvents,
    receiptEvents,
    routingEvents,
    taskEvents,
    runEvents,
    scheduleEvents,
    assignmentEvents,
    journalEvents,
    inputEvents,
    memoryEvents,
    knowledgeEvents,
    toolEvents,
    artifactEvents,
    modelEvents,
    consumerEvents,
    systemEvents,
  ]
    .flatMap((group) => Object.values(group) as EventSpec[])
    .map((entry) => [entry.name, entry]),
)
