/** Rules, groups of subscribers, and which messages have an intent. */
import type { Dialect } from '../port.ts'

export const routing = (dialect: Dialect): readonly string[] => [
  // condition and target: JSON as the operator gave it.
  `create table rules (
     tenant integer not null, id text not null, name text not null, priority integer not null, enabled integer not null,
     condition text not null, target text not null, created_by integer not null, created_at integer not null, updated_at integer not null,
     primary key (tenant, id))`,
  `alter table subscriptions add column group_name text`,
  // Few messages have an intent: a table of their own keeps a column and an index off every other message.
  `create table message_intents (
     tenant integer not null, intent text not null, seq integer not null, primary key (tenant, intent, seq)) ${dialect.clustered}`,
]
