/**
 * Which key an entry of the log has and which partition a key is in. Brokers that carry copies of the log use the same keys, and the
 * hash is that of Kafka's default partitioner, so that a key is in the same partition there as here.
 */
import { type EventTopic, eventTopics, events } from '@cadre/contract'

export interface Placed {
  topic: EventTopic
  key: string
  partition: number
}

/** Entries that a newer version wrote belong nowhere known: they are the system's. */
export const topicOf = (type: string): EventTopic => events[type]?.topic ?? 'system.events'

/** `data` is what clients see of the entry. */
export function place(type: string, subject: string, data: unknown): Placed {
  const topic = topicOf(type)
  const key = keyOf(topic, subject, data)
  return { topic, key, partition: partitionOf(topic, key) }
}

function keyOf(topic: EventTopic, subject: string, data: unknown): string {
  if (typeof data !== 'object' || data === null) return subject
  for (const field of eventTopics[topic].keys) {
    const value = (data as Readonly<Record<string, unknown>>)[field]
    if (typeof value === 'string') return value
  }
  return subject
}

export function partitionOf(topic: EventTopic, key: string): number {
  const { partitions } = eventTopics[topic]
  return partitions === 1 ? 0 : (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions
}

const factor = 0x5bd1e995

/** MurmurHash2 with the seed that Kafka's clients use; a signed number of 32 bits. */
export function murmur2(bytes: Buffer): number {
  let hash = 0x9747b28c ^ bytes.length
  const whole = bytes.length & ~3
  for (let at = 0; at < whole; at += 4) {
    let word = Math.imul(bytes.readInt32LE(at), factor)
    word = Math.imul(word ^ (word >>> 24), factor)
    hash = Math.imul(hash, factor) ^ word
  }
  if (whole < bytes.length) {
    for (let at = bytes.length - 1; at >= whole; at--) hash ^= (bytes[at] as number) << ((at - whole) * 8)
    hash = Math.imul(hash, factor)
  }
  hash = Math.imul(hash ^ (hash >>> 13), factor)
  return hash ^ (hash >>> 15)
}
