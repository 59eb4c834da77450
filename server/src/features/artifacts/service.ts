/** Artifacts: files and large values by the SHA-256 of their bytes. The bytes are durable before anything names them. */
import type { Readable } from 'node:stream'
import { CadreError, type OutputOf, type ParsedInputOf } from '@cadre/contract'
import { type Clock, iso } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Directory } from '../../core/directory.ts'
import type { Handlers } from '../../core/invoke.ts'
import { decodeCursor, encodeCursor } from '../../core/paging.ts'
import type { Blobs, ByteRange } from '../../drivers/blob/port.ts'
import type { Database } from '../../drivers/database/port.ts'
import { type ArtifactRow, type Before, findArtifact, listArtifacts, saveArtifact } from './store.ts'

export interface ArtifactsParts {
  database: Database
  directory: Directory
  clock: Clock
  blobs: Blobs
}

type Stored = OutputOf<'artifacts.upload'>
export type ArtifactMeta = Omit<ParsedInputOf<'artifacts.upload'>, 'content'>

export interface Artifacts {
  handlers: Pick<Handlers, 'artifacts.upload' | 'artifacts.get' | 'artifacts.download' | 'artifacts.list'>
  /** Stores what a raw request body brings. Rejects with `too_large` past the limit of the blob driver. */
  store(context: Context, body: AsyncIterable<Uint8Array> | Uint8Array, meta: ArtifactMeta): Promise<Stored>
  /** Throws `not_found` for the first of these that the tenant does not have. */
  mustExist(tenant: number, ids: readonly string[]): Promise<void>
  /** The bytes of an artifact of the caller's tenant, or part of them: `end` is not included. */
  open(
    context: Pick<Context, 'tenant'>,
    id: string,
    range?: ByteRange,
  ): Promise<{ artifact: OutputOf<'artifacts.get'>; body: Readable }>
}

export function makeArtifacts({ database, directory, clock, blobs }: ArtifactsParts): Artifacts {
  const view = (row: ArtifactRow): OutputOf<'artifacts.get'> => ({
    id: row.id,
    size: row.size,
    media_type: row.media_type,
    name: row.name,
    created_by: directory.nameOf(row.created_by) ?? 'unknown',
    task_id: row.task,
    created_at: iso(row.created_at),
  })

  async function find(tenant: number, id: string): Promise<ArtifactRow> {
    const row = await findArtifact(database, tenant, id)
    if (!row) throw missing(id)
    return row
  }

  async function store(context: Context, body: AsyncIterable<Uint8Array> | Uint8Array, meta: ArtifactMeta): Promise<Stored> {
    const { tenant, caller } = context
    const { id, size } = await blobs.put(body)
    const answer = await context.write(async (tx) => {
      await saveArtifact(tx, {
        tenant,
        id,
        size,
        media_type: meta.media_type,
        name: meta.name ?? null,
        created_by: caller.id,
        task: meta.task_id ?? null,
        created_at: clock.now(),
      })
      const row = (await findArtifact(tx, tenant, id)) as ArtifactRow
      const task_id = meta.task_id ?? null
      tx.emit({ type: 'artifact.stored', subject: id, data: { artifact_id: id, name: row.name, size, task_id }, task: task_id })
      return view(row)
    })
    return answer as Stored
  }

  return {
    store,
    async mustExist(tenant, ids) {
      for (const id of ids) await find(tenant, id)
    },
    async open({ tenant }, id, range) {
      const row = await find(tenant, id)
      const body = await blobs.open(id, range)
      if (!body) throw missing(id)
      return { artifact: view(row), body }
    },
    handlers: {
      'artifacts.upload': (context, { content, ...meta }) => {
        if (context.upload) return store(context, context.upload, meta)
        if (content === undefined) {
          const detail = 'Send the bytes as the request body, or text as content.'
          throw new CadreError('invalid_request', {}, { fields: [{ pointer: '/content', detail }] })
        }
        return store(context, Buffer.from(content), meta)
      },
      'artifacts.get': async ({ tenant }, { id }) => view(await find(tenant, id)),
      'artifacts.download': async ({ tenant }, { id }) => view(await find(tenant, id)),
      'artifacts.list': async ({ tenant }, { task_id, limit, cursor }) => {
        const rows = await listArtifacts(database, tenant, task_id, position(cursor), limit + 1)
        const items = rows.slice(0, limit)
        const last = rows.length > limit ? items.at(-1) : undefined
        return { items: items.map(view), next: last ? encodeCursor(`${last.created_at}/${last.id}`) : null }
      },
    },
  }
}

const missing = (id: string) => new CadreError('not_found', { entity: 'artifact', id })

function position(cursor: string | undefined): Before | undefined {
  const key = decodeCursor(cursor)
  if (key === undefined) return undefined
  const parts = /^(\d+)\/([0-9a-f]{64})$/.exec(String(key))
  if (parts) return { created_at: Number(parts[1]), id: parts[2] as string }
  throw new CadreError(
    'invalid_request',
    {},
    { fields: [{ pointer: '/cursor', detail: 'Pass the `next` of an earlier page unchanged.' }] },
  )
}
