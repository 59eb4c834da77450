import { constants } from 'node:fs'
import { open, opendir, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { documentKind, isRefused, type LoadedDocument, readableSize } from './document.ts'
import { loadDocument } from './load.ts'

export type FolderLimits = {
  /** Documents loaded; the rest is named in `skipped`. */
  files: number
  file_bytes: number
  total_bytes: number
  depth: number
  /** Directory entries looked at in all, of any kind. */
  entries: number
}

export type Folder = { documents: LoadedDocument[]; skipped: { document: string; reason: string }[] }

/** The folder itself cannot be used; the message is one sentence for a person. */
export class FolderError extends Error {
  override name = 'FolderError'
}

const folderLimits: FolderLimits = {
  files: 2000,
  file_bytes: 64 * 1024 * 1024,
  total_bytes: 192 * 1024 * 1024,
  depth: 16,
  entries: 50_000,
}

/**
 * Every document under `path`, by POSIX path relative to it, in code-unit order. Hidden entries are passed over in silence; everything
 * else that is not read is in `skipped` with its reason. Symbolic links are never followed.
 */
export async function readFolder(path: string, limits: Partial<FolderLimits> = {}): Promise<Folder> {
  const bounds = { ...folderLimits, ...limits }
  const root = await openRoot(path)
  const skipped: Folder['skipped'] = []
  const names = await listFiles(root, bounds, skipped)
  const documents: LoadedDocument[] = []
  let total = 0
  for (const name of names) {
    const skip = (reason: string) => skipped.push({ document: name, reason })
    if (documents.length >= bounds.files) {
      skip(`Only the first ${bounds.files} documents of a folder are read.`)
      continue
    }
    if (documentKind(name) === undefined) {
      const result = await loadDocument(name, new Uint8Array(0))
      if (isRefused(result)) skip(result.reason)
      continue
    }
    const read = await readBounded(join(root, name), bounds.file_bytes, bounds.total_bytes - total)
    if (typeof read === 'string') {
      skip(read)
      continue
    }
    total += read.length
    const result = await loadDocument(name, read)
    if (isRefused(result)) skip(result.reason)
    else documents.push(result)
  }
  skipped.sort((a, b) => (a.document < b.document ? -1 : a.document > b.document ? 1 : 0))
  return { documents, skipped }
}

async function openRoot(path: string): Promise<string> {
  try {
    const root = await realpath(path)
    if (!(await stat(root)).isDirectory())
      throw new FolderError(`"${path}" is a file, not a folder: name the folder that holds the documents.`)
    return root
  } catch (error) {
    if (error instanceof FolderError) throw error
    throw new FolderError(`The folder "${path}" cannot be read: ${plainReason(error)}.`, { cause: error })
  }
}

async function listFiles(root: string, bounds: FolderLimits, skipped: Folder['skipped']): Promise<string[]> {
  const files: string[] = []
  const pending: { path: string; depth: number }[] = [{ path: '', depth: 0 }]
  let seen = 0
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const { path, depth } = next
    let directory: Awaited<ReturnType<typeof opendir>>
    try {
      directory = await opendir(join(root, path))
    } catch (error) {
      if (path === '') throw new FolderError(`The folder "${root}" cannot be read: ${plainReason(error)}.`, { cause: error })
      skipped.push({ document: posix(path), reason: `The folder cannot be read: ${plainReason(error)}.` })
      continue
    }
    for await (const entry of directory) {
      if (entry.name.startsWith('.')) continue
      seen += 1
      const name = path === '' ? entry.name : join(path, entry.name)
      if (seen > bounds.entries) {
        skipped.push({
          document: posix(path) || '.',
          reason: `Only the first ${bounds.entries} entries of a folder are looked at.`,
        })
        return files.map(posix).sort()
      }
      if (entry.isSymbolicLink()) skipped.push({ document: posix(name), reason: await linkReason(root, join(root, name)) })
      else if (entry.isDirectory()) {
        if (depth + 1 > bounds.depth)
          skipped.push({ document: posix(name), reason: `Folders deeper than ${bounds.depth} are not entered.` })
        else pending.push({ path: name, depth: depth + 1 })
      } else if (entry.isFile()) files.push(name)
      else skipped.push({ document: posix(name), reason: 'It is neither a file nor a folder.' })
    }
  }
  return files.map(posix).sort()
}

async function linkReason(root: string, path: string): Promise<string> {
  try {
    const target = await realpath(path)
    const inside = target === root || target.startsWith(root + sep)
    return inside
      ? 'It is a link to another place of this folder, which is read under its own name.'
      : 'It is a link that leads out of the folder.'
  } catch {
    return 'It is a link that leads nowhere.'
  }
}

/** The bytes, or the reason why not. The size is taken from the open file, so that a growing one stays bounded. */
async function readBounded(path: string, fileBytes: number, bytesLeft: number): Promise<Uint8Array | string> {
  try {
    // O_NOFOLLOW: what was a file when listed may be a link by now.
    const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
    try {
      const { size } = await file.stat()
      if (size > fileBytes) return `The file is too large: ${readableSize(size)}, the limit is ${readableSize(fileBytes)}.`
      if (size > bytesLeft) return 'The documents before it already fill the limit of one run.'
      const bytes = new Uint8Array(size)
      let read = 0
      while (read < size) {
        const { bytesRead } = await file.read(bytes, read, size - read, read)
        if (bytesRead === 0) break
        read += bytesRead
      }
      return bytes.subarray(0, read)
    } finally {
      await file.close()
    }
  } catch (error) {
    return `The file cannot be read: ${plainReason(error)}.`
  }
}

function plainReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT') return 'it does not exist'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  if (code === 'ENOTDIR') return 'part of the path is not a folder'
  if (code === 'ELOOP') return 'it is a link'
  return code === '' ? 'an unknown error' : `error ${code}`
}

function posix(path: string): string {
  return sep === '/' ? path : path.split(sep).join('/')
}
