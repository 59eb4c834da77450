import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventTopics, events } from '@cadre/contract'
import type { z } from 'zod'
import { murmur2, partitionOf, place } from './partitions.ts'

// It stands where a message was and tells nothing.
const holdsAPlace = 'message.trimmed'

test('the hash is that of the Kafka clients', () => {
  // Values that the clients of Kafka are tested with.
  const known: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [text, hash] of known) assert.equal(murmur2(Buffer.from(text)), hash, text)
})

test('every event has one of the six topics, and where partitions matter a field that is its key', () => {
  assert.deepEqual(
    Object.entries(eventTopics).map(([name, { partitions }]) => [name, partitions]),
    [
      ['agent.lifecycle', 3],
      ['agent.tasks', 6],
      ['agent.communication', 3],
      ['agent.state', 3],
      ['system.events', 1],
      ['dead.letter', 1],
    ],
  )
  const used = new Set<string>()
  for (const { name, topic, data } of Object.values(events)) {
    const spec = eventTopics[topic]
    assert.ok(spec, `${name} has no topic`)
    used.add(topic)
    if (spec.partitions === 1 || name === holdsAPlace) continue
    const fields = Object.keys((data as unknown as z.ZodObject).shape)
    assert.ok(
      spec.keys.some((key) => fields.includes(key)),
      `${name} has none of the keys of ${topic}: ${spec.keys.join(', ')}`,
    )
  }
  assert.equal(used.size, 6)
})

test('a key is in one partition of its topic, and keys spread over all of them', () => {
  for (const [topic, { partitions }] of Object.entries(eventTopics) as [keyof typeof eventTopics, { partitions: number }][]) {
    const found = new Map<number, number>()
    for (let index = 0; index < 3_000; index++) {
      const partition = partitionOf(topic, `key ${index}`)
      assert.equal(partitionOf(topic, `key ${index}`), partition)
      assert.ok(partition >= 0 && partition < partitions)
      found.set(partition, (found.get(partition) ?? 0) + 1)
    }
    assert.equal(found.size, partitions, topic)
    for (const count of found.values()) assert.ok(count > 3_000 / partitions / 2, `${topic} is lopsided`)
  }
})

test('the key is the field the topic names, and the subject where there is none', () => {
  assert.equal(place('task.created', 'tsk_1', { task_id: 'tsk_2' }).key, 'tsk_2')
  assert.equal(place('message.sent', 'msg_1', { conversation_id: 'c', agent_id: 'a' }).key, 'c')
  assert.equal(place('message.redelivered', 'msg_1', { conversation_id: null, agent_id: 'a' }).key, 'a')
  assert.deepEqual(place('from.the_future', 's', null), { topic: 'system.events', key: 's', partition: 0 })
})
