/** Groups that read the log at their own pace. */
import type { Dialect } from '../port.ts'

export const consumers = (dialect: Dialect): readonly string[] => [
  // generation: raised when the group is set to another place, so that what was read before no longer moves it.
  `create table consumer_groups (
     tenant integer not null, name text not null, id text not null, topics text not null, generation integer not null,
     created_by integer not null, created_at integer not null, primary key (tenant, name))`,
  `create table consumer_cursors (
     tenant integer not null, group_id text not null, topic text not null, partition_number integer not null, seq integer not null,
     primary key (tenant, group_id, topic, partition_number)) ${dialect.clustered}`,
  `alter table memory add column description text`,
]
