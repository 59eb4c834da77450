/** What became of deliveries, retention and replay. */
import type { Dialect } from '../port.ts'

export const receipts = (_dialect: Dialect): readonly string[] => [
  // What waits past its time. Only messages with a ttl that are not in an agent's hands stand in it.
  `create index inbox_expiry on inbox (expires_at) where expires_at is not null and state <> 1`,
  // Read by replay: without it a topic is found by a walk through everything that was ever sent.
  `create index log_topic on log (tenant, topic, seq) where topic is not null`,
  // Replayed copies by message; nothing else has this priority.
  `create index inbox_replay on inbox (tenant, seq) where priority = 10`,
  // trimmed_to: settled messages up to this position may be gone. A tenant without a row keeps everything.
  `create table retention (
     tenant integer primary key, messages_days integer, messages_max integer, trimmed_to integer not null, removed integer not null)`,
]
