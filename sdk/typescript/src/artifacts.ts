/** Files and large values, over HTTP: bytes never travel inside frames. */
import type { InputOf, OutputOf } from '@cadre/contract'
import { type Call, type CallOptions, splitOptions } from './calls.ts'
import type { Clock } from './clock.ts'
import { CadreClientError, fromProblem } from './errors.ts'
import { forwards } from './forwarding.ts'

const largest = 268_435_456
const transferLimit = 300_000

export type FetchLike = (url: string, init: RequestInit) => Promise<Response>

export interface Artifacts {
  /** Stores bytes, or text as UTF-8; the answer's `id` is their SHA-256. */
  upload(
    content: Uint8Array | ArrayBuffer | Blob | string,
    fields?: { name?: string; media_type?: string; task_id?: string } & CallOptions,
  ): Promise<OutputOf<'artifacts.upload'>>
  /** The bytes, at most `limit` (256 MiB unless given). `range` is `[start, end)` in bytes; `end` may be left out. */
  download(
    id: string,
    options?: CallOptions & { range?: readonly [start: number, end?: number]; limit?: number },
  ): Promise<Uint8Array>
  /** What is known of it, without the bytes. */
  get(id: string, options?: CallOptions): Promise<OutputOf<'artifacts.get'>>
  list(query?: InputOf<'artifacts.list'> & CallOptions): Promise<OutputOf<'artifacts.list'>>
}

export interface ArtifactsParts {
  base: string
  fetch: FetchLike
  token: () => string | undefined
  clock: Clock
  call: Call
}

export function makeArtifacts(parts: ArtifactsParts): Artifacts {
  const { call } = parts
  return {
    async upload(content, given = {}) {
      const [options, fields] = splitOptions(given)
      const ofBlob = content instanceof Blob ? content.type : ''
      const media_type = fields.media_type ?? (ofBlob || (typeof content === 'string' ? 'text/plain; charset=utf-8' : undefined))
      const query = new URLSearchParams()
      for (const [name, value] of Object.entries({ ...fields, media_type })) if (value !== undefined) query.set(name, value)
      // The media type stands in the query: a JSON file under its own type would be taken for a JSON request.
      const headers = { 'Content-Type': 'application/octet-stream' }
      const init = { method: 'POST', headers, body: content as Blob }
      return transfer(
        parts,
        `?${query.toString()}`,
        init,
        options,
        (response) => response.json() as Promise<OutputOf<'artifacts.upload'>>,
      )
    },
    download(id, { range, limit = largest, ...options } = {}) {
      const headers: Record<string, string> = {}
      // HTTP names the last byte, not the one after it.
      if (range) headers['Range'] = `bytes=${range[0]}-${range[1] === undefined ? '' : range[1] - 1}`
      return transfer(parts, `/${encodeURIComponent(id)}/content`, { headers }, options, async (response) => {
        const bytes = await readBounded(response, limit)
        // A server that ignores ranges sends everything.
        return range && response.status === 200 ? bytes.subarray(range[0], range[1]) : bytes
      })
    },
    ...forwards<Pick<Artifacts, 'get' | 'list'>>(call, { get: 'artifacts.get id', list: 'artifacts.list' }),
  }
}

async function transfer<T>(
  { base, fetch, token, clock }: ArtifactsParts,
  path: string,
  init: RequestInit & { headers: Record<string, string> },
  options: CallOptions,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const { signal, timeout = transferLimit } = options
  const abort = new AbortController()
  const ends = signal ? AbortSignal.any([signal, abort.signal]) : abort.signal
  const late = new CadreClientError('timeout', `The transfer took longer than ${timeout} ms.`, { retryable: true })
  const cancel = clock.after(timeout, () => abort.abort(late))
  const held = token()
  if (held !== undefined) init.headers['Authorization'] = `Bearer ${held}`
  if (options.idempotencyKey !== undefined) init.headers['Idempotency-Key'] = options.idempotencyKey
  try {
    const response = await fetch(`${base}/api/v1/artifacts${path}`, { ...init, signal: ends })
    if (!response.ok) throw fromProblem(await response.json().catch(() => undefined), response.status)
    return await read(response)
  } catch (cause) {
    if (cause instanceof CadreClientError) throw cause
    if (ends.aborted) throw ends.reason
    throw new CadreClientError('connection_lost', 'The transfer was cut off.', { retryable: true, cause })
  } finally {
    cancel()
  }
}

async function readBounded(response: Response, limit: number): Promise<Uint8Array> {
  const reader = response.body?.getReader()
  const chunks: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  for (;;) {
    const part = await reader?.read()
    if (!part || part.done) return new Uint8Array(await new Blob(chunks).arrayBuffer())
    size += part.value.byteLength
    if (size > limit) {
      await reader?.cancel()
      throw new CadreClientError('too_large', `The artifact is over the limit of ${limit} bytes; read it in ranges.`, {
        parameters: { limit },
      })
    }
    chunks.push(part.value)
  }
}
