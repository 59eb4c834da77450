/** Blobs as files: `<folder>/<first two digits>/<id>`, written to `<folder>/incoming` first. */
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { CadreError } from '@cadre/contract'
import { type Blobs, isBlobId } from './port.ts'

export interface FsBlobOptions {
  folder: string
  /** Bytes; 1 GiB unless given. */
  limit?: number
}

const gibibyte = 1024 ** 3

/** Opens or creates the folder. Uploads that a crash cut off are removed. */
export async function openFsBlobs({ folder, limit: ceiling = gibibyte }: FsBlobOptions): Promise<Blobs> {
  const incoming = join(folder, 'incoming')
  await rm(incoming, { recursive: true, force: true })
  await mkdir(incoming, { recursive: true })
  const known = new Set<string>()

  async function put(source: AsyncIterable<Uint8Array> | Uint8Array, limit = ceiling) {
    const temporary = join(incoming, randomBytes(16).toString('hex'))
    const hash = createHash('sha256')
    const most = Math.min(limit, ceiling)
    let size = 0
    try {
      const file = await open(temporary, 'wx')
      try {
        for await (const bytes of source instanceof Uint8Array ? [source] : source) {
          size += bytes.byteLength
          if (size > most) throw new CadreError('too_large', { what: 'The artifact', limit: `${most} bytes` })
          hash.update(bytes)
          await writeAll(file, bytes)
        }
        await file.sync()
      } finally {
        await file.close()
      }
      const id = hash.digest('hex')
      const home = join(folder, id.slice(0, 2))
      await makeHome(home)
      // Also when the file is there: whoever put it may not have synced its folder yet, and the bytes are the same.
      await rename(temporary, join(home, id))
      await syncFolder(home)
      return { id, size }
    } catch (error) {
      await rm(temporary, { force: true })
      throw asCadreError(error)
    }
  }

  async function makeHome(home: string): Promise<void> {
    if (known.has(home)) return
    await mkdir(home, { recursive: true })
    await syncFolder(folder)
    known.add(home)
  }

  async function size(id: string): Promise<number | undefined> {
    if (!isBlobId(id)) return undefined
    try {
      return (await stat(pathOf(id))).size
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  const pathOf = (id: string) => join(folder, id.slice(0, 2), id)

  return {
    put,
    size,
    async open(id, { start = 0, end } = {}) {
      if (!isBlobId(id)) return undefined
      let file: FileHandle
      try {
        file = await open(pathOf(id), 'r')
      } catch (error) {
        if (isMissing(error)) return undefined
        throw error
      }
      if (end !== undefined && end <= start) {
        await file.close()
        return Readable.from([])
      }
      return file.createReadStream({ start, ...(end !== undefined && { end: end - 1 }) })
    },
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0
  while (written < bytes.byteLength) {
    const { bytesWritten } = await file.write(bytes, written)
    written += bytesWritten
  }
}

/** Makes the names in a folder survive a power loss. Windows has no such call and needs none. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const codeOf = (error: unknown) => (error as { code?: unknown } | null)?.code
const isMissing = (error: unknown) => codeOf(error) === 'ENOENT'
const asCadreError = (error: unknown) =>
  codeOf(error) === 'ENOSPC' ? new CadreError('storage_full', {}, { cause: error }) : error
