/** Facts on disk, a line each, written when they happen: what a killed process had noted is there. */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Fact } from '../history/history.ts'
import type { Note } from './wire-record.ts'

export interface Dated {
  /** Nanoseconds of the machine's monotonic clock, which all processes share. */
  at: number
  fact: Fact
}

export function openJournal(path: string): { note: Note; close(): void } {
  const file = openSync(path, 'a')
  return {
    note: (fact) => void writeSync(file, `${JSON.stringify({ at: Number(process.hrtime.bigint()), fact })}\n`),
    close: () => closeSync(file),
  }
}

export function readJournal(path: string): Dated[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Dated)
}
