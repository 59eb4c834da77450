/**
 * The first schema. Every table has the tenant in its key. Principals and tenants are interned to integers because they stand in every
 * row of the log. The log is the one truth: a message is its log entry, not a row beside one (a schema of four tables with text keys
 * cost 50-70 us a message where this one costs 5-16).
 */
import type { Dialect } from '../port.ts'

export const foundation = (dialect: Dialect): readonly string[] => [
  `create table meta (key text primary key, value text not null)`,
  `create table tenants (id integer primary key, name text not null unique)`,
  `create table principals (
     id integer primary key, tenant integer not null, public_id text not null unique, kind text not null, name text not null,
     created_at integer not null, unique (tenant, name))`,
  `create table credentials (
     id text primary key, tenant integer not null, principal integer not null, role text not null, name text not null,
     hash text not null, created_at integer not null, last_used_at integer)`,
  `create index credentials_principal on credentials (tenant, principal, created_at)`,
  `create table idempotency (
     tenant integer not null, actor integer not null, operation text not null, key text not null, hash text not null,
     response text not null, at integer not null, primary key (tenant, actor, operation, key))`,
  `create index idempotency_at on idempotency (at)`,

  // seq comes from the program: a table that was emptied would hand out the same rowid twice and a cursor would skip entries.
  `create table log (
     seq integer primary key, tenant integer not null, type text not null, schema_version integer not null, at integer not null,
     actor integer not null, subject text, trace text, body text not null,
     key text, recipient integer, recipients text, topic text, kind text, message_type text, priority integer,
     conversation text, sender_seq integer, reply_to integer, task text, meta text, expires_at integer, late integer)`,
  `create unique index log_key on log (tenant, actor, key) where key is not null`,
  `create index log_recipient on log (tenant, recipient, seq) where recipient is not null`,
  `create index log_actor on log (tenant, actor, seq) where kind is not null`,
  `create index log_conversation on log (tenant, conversation, actor, sender_seq) where conversation is not null`,
  `create index log_task on log (tenant, task, seq) where task is not null`,
  `create index log_reply on log (tenant, reply_to) where reply_to is not null`,

  `create table agents (
     tenant integer not null, id integer not null, type text not null, type_key text not null, status text not null,
     capabilities text not null, description text, managed integer not null, desired text, concurrency integer not null,
     metadata text not null, last_seen integer, created_at integer not null, primary key (tenant, id))`,
  `create index agents_type on agents (tenant, type_key, status)`,

  // state: 0 ready, 1 leased, 2 behind another of its sender and conversation. Rows leave when acknowledged, dead or expired, so the
  // table stays as small as the backlog.
  `create table inbox (
     tenant integer not null, agent integer not null, priority integer not null, seq integer not null, state integer not null,
     attempt integer not null, lease_until integer, available_at integer not null, conversation text, sender integer not null,
     expires_at integer, errors text, primary key (tenant, agent, priority, seq)) ${dialect.clustered}`,
  // What may be handed out, without a walk past what waits behind it: 10,000 messages of one conversation cost 10,000 steps each without.
  // Rows that are inserted leased never enter it.
  `create index inbox_ready on inbox (tenant, agent, state, priority, seq, available_at) where state = 0`,
  // Asked when a message of a conversation comes and when one leaves: who is next of the same sender here?
  `create index inbox_conversation on inbox (tenant, agent, conversation, sender, seq) where conversation is not null`,
  `create table dead_letters (
     tenant integer not null, agent integer not null, seq integer not null, priority integer not null, attempts integer not null,
     reason text not null, errors text not null, at integer not null, primary key (tenant, agent, seq))`,
  `create index dead_letters_seq on dead_letters (tenant, seq, agent)`,
  `create table subscriptions (tenant integer not null, agent integer not null, pattern text not null, primary key (tenant, agent, pattern))`,

  `create table tasks (
     tenant integer not null, id text not null, title text not null, description text not null, type text not null, state text not null,
     priority integer not null, progress real not null, progress_note text, creator integer not null, agent_type text,
     capabilities text not null, assign_to integer, assignee integer, waiting_for integer not null, depends_on text not null, parent text, run text, run_name text, key text,
     input text not null, requirements text not null, result text not null, error text, attempt integer not null, max_retries integer not null,
     token integer not null, lease_ms integer, lease_until integer, available_at integer, due_date integer, created_at integer not null,
     taken_at integer, started_at integer, updated_at integer not null, completed_at integer, artifacts text not null, metadata text not null,
     primary key (tenant, id))`,
  // The three questions the engine asks, each answered from its own index: what is ready, whose lease ends, what wakes up.
  `create index tasks_ready on tasks (tenant, priority, id) where state = 'ready'`,
  `create index tasks_lease on tasks (lease_until) where lease_until is not null`,
  `create index tasks_wake on tasks (available_at) where state = 'scheduled'`,
  // What an agent may claim although nobody is asked for, and what it holds.
  `create index tasks_open on tasks (tenant, priority, id) where state = 'ready' and assign_to is null and agent_type is null and capabilities = '[]'`,
  `create index tasks_held on tasks (tenant, assignee) where state in ('assigned', 'running', 'input_required', 'auth_required')`,
  // One for each way of listing, in the order of the list: among 200,000 tasks a rare state took 54 ms without its index.
  `create index tasks_state on tasks (tenant, state, id)`,
  `create index tasks_assignee on tasks (tenant, assignee, id)`,
  `create index tasks_type on tasks (tenant, type, id)`,
  `create index tasks_creator on tasks (tenant, creator, id)`,
  `create index tasks_run on tasks (tenant, run, id) where run is not null`,
  `create index tasks_parent on tasks (tenant, parent, id) where parent is not null`,
  `create table task_dependencies (tenant integer not null, task text not null, depends_on text not null, primary key (tenant, task, depends_on))`,
  `create index task_dependents on task_dependencies (tenant, depends_on)`,
  `create table task_attempts (
     tenant integer not null, task text not null, number integer not null, token integer not null, agent integer not null, assigned_at integer not null,
     started_at integer, ended_at integer, outcome text not null, error text, primary key (tenant, task, token))`,

  // readers and writers: JSON arrays of principals, null for everyone. A deleted key keeps its row, so that versions never repeat.
  `create table memory (
     tenant integer not null, key text not null, id text not null, version integer not null, value text not null, deleted integer not null,
     created_by integer not null, updated_by integer not null, task text, readers text, writers text, metadata text not null,
     created_at integer not null, updated_at integer not null, expires_at integer, primary key (tenant, key))`,
  `create index memory_id on memory (tenant, id)`,
  `create index memory_expiry on memory (expires_at) where expires_at is not null`,
  `create table memory_versions (
     tenant integer not null, key text not null, version integer not null, value text not null, deleted integer not null,
     updated_by integer not null, task text, updated_at integer not null, primary key (tenant, key, version))`,

  `create table collections (tenant integer not null, name text not null, description text, created_at integer not null, primary key (tenant, name))`,
  // state: adding, ready, removing. The chunks of a long text are written over several transactions and shown by the last.
  `create table documents (
     id text primary key, tenant integer not null, collection text not null, title text not null, source text, tags text not null,
     private integer not null, owner integer not null, chunks integer not null, length integer not null, artifact text, metadata text not null,
     embedder text not null, state text not null, created_at integer not null)`,
  `create index documents_tenant on documents (tenant, id)`,
  `create index documents_collection on documents (tenant, collection, id)`,
  `create index documents_scope on documents (tenant, collection, private, owner)`,
  `create index documents_unready on documents (state) where state <> 'ready'`,
  // The texts of a document's chunks, joined in order, are its text: it is stored once. scope: the collection, with the owner if private.
  `create table chunks (
     id integer primary key, tenant integer not null, document text not null, scope text not null, number integer not null,
     start_at integer not null, text text not null, vector blob not null)`,
  `create index chunks_document on chunks (tenant, document, number)`,
  `create index chunks_scope on chunks (tenant, scope, id)`,
  dialect.fullTextIndex('chunks_text'),

  `create table tools (
     tenant integer not null, name text not null, description text not null, input_schema text not null, permissions text not null,
     once integer not null, provider integer not null, created_at integer not null, primary key (tenant, name))`,
  `create table tool_grants (
     tenant integer not null, tool text not null, agent integer not null, permissions text not null, primary key (tenant, tool, agent))`,
  `create table tool_calls (
     tenant integer not null, id text not null, tool text not null, key text not null, caller integer not null, task text, state text not null,
     attempts integer not null, executions integer not null, arguments text not null, result text not null, error text,
     started_at integer not null, ended_at integer, primary key (tenant, tool, key))`,
  `create index tool_calls_id on tool_calls (tenant, id)`,
  `create index tool_calls_task on tool_calls (tenant, task) where task is not null`,
  `create table artifacts (
     tenant integer not null, id text not null, size integer not null, media_type text not null, name text, created_by integer not null,
     task text, created_at integer not null, primary key (tenant, id))`,
  `create index artifacts_created on artifacts (tenant, created_at, id)`,
  `create table artifact_tasks (tenant integer not null, task text not null, artifact text not null, primary key (tenant, task, artifact))`,
]
