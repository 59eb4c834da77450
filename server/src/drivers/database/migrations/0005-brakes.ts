/** Exchanges that were stopped because they went round in circles. */
import type { Dialect } from '../port.ts'

export const brakes = (_dialect: Dialect): readonly string[] => [
  // low and high are the parties, in the order of their ids; high is 0 when a message has many recipients, and for a tool's call.
  // Replies to what stands in the log up to up_to count as the first of their exchange.
  `create table brakes (
     tenant integer not null, id text not null, rule text not null, low integer not null, high integer not null, conversation text,
     tool text, digest text, task text, reason text not null, counted integer not null, limited_to integer not null,
     window_ms integer, messages text not null, up_to integer not null, tripped_at integer not null, held_until integer not null,
     reset_at integer, reset_by integer, primary key (tenant, id))`,
  `create index brakes_held on brakes (held_until) where reset_at is null`,
  `create table brake_settings (tenant integer primary key, settings text not null)`,
  `create table brake_exemptions (tenant integer not null, conversation text not null, primary key (tenant, conversation))`,
]
