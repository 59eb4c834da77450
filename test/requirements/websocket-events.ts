import type { Row } from './row.ts'

// Client events are 01 to 08 and server events 09 to 14, each in the order in which the channel plan lists them.
export const websocketEvents = [
  ['WSE-01', 'agent:register', 'Registering a connection is acknowledged with the agent or a typed error.'],
  ['WSE-02', 'agent:heartbeat', 'A sign of life is acknowledged, or refused with a typed error.'],
  ['WSE-03', 'message:send', 'A send is acknowledged with the stored message or a typed error.'],
  ['WSE-04', 'task:create', 'A creation is acknowledged with the new task or a typed error.'],
  ['WSE-05', 'task:assign', 'An assignment is acknowledged with the assigned task or a typed error.'],
  ['WSE-06', 'task:update', 'An update is acknowledged with the changed task or a typed error.'],
  ['WSE-07', 'memory:set', 'A write is acknowledged with the stored entry or a typed error.'],
  ['WSE-08', 'memory:get', 'A read is acknowledged with the entry or a typed error.'],
  ['WSE-09', 'message:received', 'On one machine the recipient has the message at most 100 ms after the send.'],
  ['WSE-10', 'task:assigned', 'On one machine the assignee learns of its task at most 100 ms after the assignment.'],
  ['WSE-11', 'task:updated', 'On one machine another interested client learns of a status change within 100 ms.'],
  ['WSE-12', 'memory:updated', 'On one machine another reader of the key learns of a write within 100 ms.'],
  ['WSE-13', 'agent:joined', 'On one machine the agents already present learn of an arrival within 100 ms.'],
  ['WSE-14', 'agent:left', 'On one machine the agents remaining learn of a departure within 100 ms.'],
  ['WSE-15', 'Connections', 'A page shows how many connections there are and how each is doing; dead ones are cleared away.'],
  ['WSE-16', 'Two-way channel', 'Over one socket agents both send and receive, to one partner or to all.'],
  ['WSE-17', 'Live dashboards', 'Pages change with the system, without being loaded again.'],
  ['WSE-18', 'Resuming', 'A line cut for ten seconds costs no message and repeats none.'],
  ['WSE-19', 'Socket.IO', 'The stock socket.io-client exchanges all fourteen events.'],
] as const satisfies readonly Row[]
