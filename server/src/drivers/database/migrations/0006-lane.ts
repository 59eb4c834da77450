/**
 * Deliveries that need no inbox row: a message that is handed to a connected agent as it is stored, and acknowledged in order, costs its
 * log row and nothing else. `log.lane` says for which recipients that holds: null for none, '' for all, else a JSON array of those that
 * did get a row. `lanes.settled` is, per agent, the position up to which every such delivery was acknowledged or got a row after all.
 */
import type { Dialect } from '../port.ts'

export const lane = (dialect: Dialect): readonly string[] => [
  `alter table log add column lane text`,
  // Asked when a server starts or an agent comes back, about what was in flight to several at once.
  `create index log_lane on log (tenant, seq) where lane is not null and recipient is null`,
  `create table lanes (tenant integer not null, agent integer not null, settled integer not null, primary key (tenant, agent)) ${dialect.clustered}`,
]
