import type { Row } from './row.ts'

export const tools = [
  ['TOL-01', 'Tool registry', 'A registered tool is listed with description, schema, needed permissions and its owner.'],
  ['TOL-02', 'Tools added at run time', 'The turn after a tool was registered, a model may already call it.'],
  ['TOL-03', 'Tool grants', 'An agent lacking the grant gets a typed permission error, and the audit keeps the attempt.'],
  ['TOL-04', 'Tools by need', 'A task stating that it needs http is matched with tools that offer it.'],
  ['TOL-05', 'Composed tools', 'A tool made out of others is suggested, looked over by someone and then registered.'],
  ['TOL-06', 'File tools', 'They work below one root and refuse every path leading out of it.'],
  ['TOL-07', 'Commands and code', 'Both run in a sandbox with bounded time and memory.'],
  ['TOL-08', 'Web search and fetch', 'Only allowed hosts are reached, and the demo uses an offline substitute.'],
  ['TOL-09', 'Database tools', 'Unless told otherwise they read and do not write.'],
  ['TOL-10', 'Tools from an API description', 'An OpenAPI document yields callable tools.'],
  ['TOL-11', 'Limits per tool', 'Concurrent calls, call rate and cost are held under the bounds set for the tool.'],
  ['TOL-12', 'Resource pools', 'A pool of five lets the sixth caller wait, and something never handed back is noticed.'],
  ['TOL-13', 'Tool counter', 'Calls appear in tool_usage_total by agent_id and tool_name.'],
  ['TOL-14', 'Sharing a tool', 'Registered once, a tool serves every agent granted it.'],
  [
    'TOL-15',
    'Permissions on top of grants',
    'A granted agent without code_execution or file_read is still refused, and that is audited.',
  ],
] as const satisfies readonly Row[]
