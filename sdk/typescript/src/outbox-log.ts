/**
 * The records of an outbox file: one line each, `<crc32 of the JSON, 8 hex digits> <JSON>`. `{"seq","key","name","data"}` adds a call,
 * `{"done":[seq, ...]}` says which were answered. JSON escapes line ends, so a line is a record, whole or damaged.
 */
import type { StoredCall } from './durable-outbox.ts'

export type Checksum = (text: string) => number

const line = (record: unknown, checksum: Checksum): string => {
  const text = JSON.stringify(record)
  return `${checksum(text).toString(16).padStart(8, '0')} ${text}\n`
}

export const encodeCall = ({ seq, key, name, data }: StoredCall, checksum: Checksum): string =>
  line({ seq, key, name, data }, checksum)
export const encodeDone = (seqs: readonly number[], checksum: Checksum): string => line({ done: seqs }, checksum)

export interface ReadLog {
  /** Calls that were not answered, by their place. */
  live: Map<number, StoredCall>
  /** Records that cannot be read, without the last when it was cut short: it was never told to be durable. */
  damaged: number
  /** The file ends within a record. */
  torn: boolean
}

/** Reads as much as can be read: what is damaged costs itself alone. */
export function readLog(text: string, checksum: Checksum): ReadLog {
  const live = new Map<number, StoredCall>()
  const lines = text.split('\n')
  const torn = lines.pop() !== ''
  let damaged = 0
  for (const each of lines) {
    const record = decode(each, checksum)
    if (!record) damaged += 1
    else if ('done' in record) for (const seq of record.done) live.delete(seq)
    else live.set(record.seq, record)
  }
  return { live, damaged, torn }
}

function decode(text: string, checksum: Checksum): StoredCall | { done: number[] } | undefined {
  const json = text.slice(9)
  if (!/^[0-9a-f]{8} /.test(text) || Number.parseInt(text.slice(0, 8), 16) !== checksum(json)) return undefined
  try {
    const record = JSON.parse(json) as StoredCall | { done: number[] }
    return 'done' in record || typeof record.seq === 'number' ? record : undefined
  } catch {
    return undefined
  }
}
