/** Builds the shim, and does to a folder what a power loss does: unsynced writes are gone, in part or in whole. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const magic = 0x43414452
const headBytes = 40
const sectorBytes = 512
/** As a disk that is not the fastest: with none, 60 kills met 105 unsynced writes, nearly all of them alone. */
const syncMicroseconds = '2000'

/** A C compiler, or why the shim cannot be used here. */
export function findCompiler(): { compiler: string } | { missing: string } {
  if (process.platform !== 'linux') return { missing: 'the shim is for Linux' }
  for (const compiler of ['cc', 'gcc', 'clang'])
    if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0) return { compiler }
  return { missing: 'no C compiler' }
}

export function buildShim(compiler: string, folder: string): string {
  const library = join(folder, 'shim.so')
  const source = join(import.meta.dirname, 'shim.c')
  execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-o', library, source, '-ldl', '-lpthread'])
  return library
}

interface Write {
  kind: 'write' | 'truncate' | 'created'
  offset: number
  sizeBefore: number
  old: Buffer
  next: Buffer
}

/** `none`: every unsynced write is lost. `some`: each is lost, kept or torn by sectors, as chance has it. */
export type Survivors = 'none' | 'some'

export interface PowerLoss {
  /** Unsynced writes there were, and those of which something is left. */
  unsynced: number
  kept: number
  torn: number
}

/** A disk under one folder, seen through the shim. */
export interface Disk {
  /** Variables for the process that writes to it. */
  settings: Record<string, string>
  /** After the process was killed: leaves in the folder what the disk would have kept. */
  losePower(survivors: Survivors, random: () => number): PowerLoss
  /** Calls that passed the shim since the process began. */
  counts(): { writes: number; syncs: number; truncates: number; foreign: number }
}

/** `liesAbout`: the end of the names of files whose syncs this disk only pretends to do. */
export function makeDisk(folder: string, journals: string, library: string, liesAbout?: string): Disk {
  mkdirSync(journals, { recursive: true })
  return {
    settings: {
      LD_PRELOAD: library,
      SHIM_FOLDER: folder,
      SHIM_JOURNAL: journals,
      // Files go through libc, not through rings that no shim sees.
      UV_USE_IO_URING: '0',
      SHIM_SYNC_US: syncMicroseconds,
      ...(liesAbout !== undefined && { SHIM_IGNORE_FSYNC: liesAbout }),
    },
    losePower(survivors, random) {
      const total: PowerLoss = { unsynced: 0, kept: 0, torn: 0 }
      for (const name of readdirSync(journals).filter((each) => each.endsWith('.journal'))) {
        const file = join(folder, name.slice(0, -'.journal'.length).replaceAll('%', '/'))
        const lost = loseFile(file, readWrites(join(journals, name)), survivors, random)
        total.unsynced += lost.unsynced
        total.kept += lost.kept
        total.torn += lost.torn
        rmSync(join(journals, name))
      }
      rmSync(join(journals, 'counts'))
      scrambleSharedMemory(folder, random)
      return total
    },
    counts() {
      const bytes = readFileSync(join(journals, 'counts'))
      const [writes = 0, syncs = 0, truncates = 0, foreign = 0] = [0, 8, 16, 24].map((at) => Number(bytes.readBigUInt64LE(at)))
      return { writes, syncs, truncates, foreign }
    },
  }
}

function readWrites(path: string): Write[] {
  const bytes = readFileSync(path)
  const kinds = ['', 'write', 'truncate', 'created'] as const
  const writes: Write[] = []
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const kind = kinds[bytes.readUInt32LE(at + 4)]
    if (bytes.readUInt32LE(at) !== magic || !kind) throw new Error(`${path} is no journal of the shim`)
    const [offset = 0, sizeBefore = 0, oldBytes = 0, newBytes = 0] = [8, 16, 24, 32].map((field) =>
      Number(bytes.readBigUInt64LE(at + field)),
    )
    const begin = at + headBytes
    // The last record may have been cut by the kill; its write did not begin.
    if (begin + oldBytes + newBytes > bytes.length) break
    const old = bytes.subarray(begin, begin + oldBytes)
    const next = bytes.subarray(begin + oldBytes, begin + oldBytes + newBytes)
    writes.push({ kind, offset, sizeBefore, old, next })
    at = begin + oldBytes + newBytes
  }
  return writes
}

function loseFile(path: string, all: readonly Write[], survivors: Survivors, random: () => number): PowerLoss {
  const lost: PowerLoss = { unsynced: 0, kept: 0, torn: 0 }
  // What an earlier file of this name was is gone with it.
  const created = all.findLastIndex(({ kind }) => kind === 'created')
  const writes = all.slice(created + 1)
  if (!existsSync(path) || all.length === 0) return lost
  lost.unsynced = writes.length
  let content = Buffer.from(readFileSync(path))
  for (const write of writes.toReversed()) content = undo(content, write)
  if (survivors === 'some') {
    for (const write of writes) {
      const chance = random()
      if (chance < 1 / 3) continue
      lost.kept += 1
      const tear = write.kind === 'write' && chance > 2 / 3
      if (tear) lost.torn += 1
      content = redo(content, write, tear ? random : undefined)
    }
  }
  // A file that was never synced may not even have a name.
  if (created >= 0 && (survivors === 'none' || (lost.kept === 0 && random() < 0.5))) rmSync(path)
  else writeFileSync(path, content)
  return lost
}

/** `old` stood at the offset, and the file was so long: the same for a write and for a truncation. */
function undo(content: Buffer<ArrayBuffer>, { offset, sizeBefore, old }: Write): Buffer<ArrayBuffer> {
  const before = Buffer.alloc(sizeBefore)
  content.copy(before, 0, 0, sizeBefore)
  old.copy(before, offset)
  return before
}

/** With `random`, each sector of the disk got there or not. */
function redo(
  content: Buffer<ArrayBuffer>,
  { kind, offset, next }: Write,
  random: (() => number) | undefined,
): Buffer<ArrayBuffer> {
  const size = kind === 'truncate' ? offset : Math.max(content.length, offset + next.length)
  const after = Buffer.alloc(size)
  content.copy(after, 0, 0, size)
  for (let at = 0; at < next.length; ) {
    const end = Math.min(next.length, at + sectorBytes - ((offset + at) % sectorBytes))
    if (!random || random() < 0.5) next.copy(after, offset + at, at, end)
    at = end
  }
  return after
}

/** Nobody may rely on the index of the log in shared memory after a power loss: it is made to be nonsense. */
function scrambleSharedMemory(folder: string, random: () => number): void {
  for (const name of readdirSync(folder).filter((each) => each.endsWith('-shm'))) {
    const { size } = statSync(join(folder, name))
    truncateSync(join(folder, name), 0)
    writeFileSync(join(folder, name), Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256))))
  }
}
