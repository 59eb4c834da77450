import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sampleEntry, sampleMessage } from './sample.ts'
import { describe } from './timeline.ts'

const say = (type: string, data: unknown) => {
  const { text, detail } = describe(sampleEntry(1, type, data))
  return [text, detail]
}

test('what happens to messages reads as a sentence with its reason', () => {
  const it = { message_id: 'm', agent_id: 'a', agent: 'bob' }
  assert.deepEqual(say('message.sent', sampleMessage('hello')), ['sender → recipient', 'hello'])
  assert.deepEqual(say('message.dead', { ...it, reason: 'no paper', attempts: 5 }), [
    'A message to bob died after 5 attempts',
    'no paper',
  ])
  assert.deepEqual(say('message.expired', { ...it, attempts: 0 }), ['A message to bob expired', 'it was never taken'])
  assert.deepEqual(say('message.expired', { ...it, attempts: 1 }), ['A message to bob expired', 'after 1 attempt'])
  assert.deepEqual(say('message.redelivered', { ...it, attempt: 2, reason: 'lease ran out' }), [
    'A message to bob comes again, attempt 2',
    'lease ran out',
  ])
})

test('a loop brake says whom it holds, by which rule and why', () => {
  const facts = { rule: 'ping_pong', parties: ['ada', 'bob'], tool: null, reason: '21 times; the limit is 20' }
  assert.deepEqual(say('brake.tripped', facts), ['Loop brake holds ada and bob: ping-pong', '21 times; the limit is 20'])
  assert.deepEqual(say('brake.tripped', { ...facts, rule: 'repeated_call', parties: ['ada'], tool: 'search' }), [
    'Loop brake holds ada: repeated call, tool search',
    '21 times; the limit is 20',
  ])
  assert.deepEqual(say('brake.reset', facts), ['ada and bob may go on', 'loop brake reset by actor'])
})

test('a task reads as its title and state', () => {
  const moved = { task_id: 't', title: 'Count the ships', to: 'failed', agent: 'ada', reason: 'no harbour' }
  assert.deepEqual(say('task.failed', moved), ['Count the ships: Failed, ada', 'no harbour'])
})

test('an entry of another type shows the summary of its type, or its type, and what it holds', () => {
  const entry = sampleEntry(1, 'future.thing', { x: 1 })
  assert.deepEqual(describe(entry).text, 'future.thing')
  const { text, detail } = describe(entry, new Map([['future.thing', 'A thing of the future']]))
  assert.deepEqual([text, detail], ['A thing of the future', '{"x":1}'])
  assert.doesNotThrow(() => describe(sampleEntry(2, 'brake.tripped', null)))
})
