import type { Row } from './row.ts'

export const memory = [
  ['MEM-01', 'Shared keys', 'Two agents store, read, change and delete the same keys through the four operations.'],
  ['MEM-02', 'Grants per key', 'Reading without a grant is answered 403 and leaves a line in the audit.'],
  ['MEM-03', 'Versions', 'Earlier versions can be listed, and a write based on an outdated one is told the current one.'],
  ['MEM-04', 'News of changes', 'Those who follow a key receive memory:updated when it is written.'],
  ['MEM-05', 'Short-term tier', 'An entry leaves the working tier after its hour and moves up.'],
  ['MEM-06', 'Mid-term tier', 'Session data and recent history are kept for a day, then leave the tier and move up.'],
  ['MEM-07', 'Long-term tier', 'What was stored for good is found by its meaning weeks afterwards.'],
  ['MEM-08', 'Moves between tiers', 'An item shows how it rose from short over mid to long term and when it was recalled.'],
  ['MEM-09', 'Recall by context', 'Two tasks asking one question recall different items and are told why.'],
  ['MEM-10', 'Hot and durable state apart', 'When the hot store is lost the system rebuilds itself from the durable one.'],
  ['MEM-11', 'Memory inspector', 'A person browses entries, compares versions, edits values and sees who may read them.'],
  ['MEM-12', 'Agent state from history', 'The shown state of an agent is what its recorded events add up to.'],
  [
    'MEM-13',
    'Tiers on Redis',
    'Redis reports lifetimes close to 3600 and 86400 seconds, and flushing it during a task does not stop the task.',
  ],
] as const satisfies readonly Row[]
