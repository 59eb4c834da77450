/** CPU time from the process accounting of Linux; elsewhere it is unknown. */
import { readFileSync, readdirSync } from 'node:fs'

const tickUs = 10_000

interface Times {
  parent: number
  own: number
  /** Of children that have ended and were waited for. */
  ended: number
}

function times(pid: number | string): Times | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in brackets and may hold blanks.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const at = (index: number) => Number(fields[index])
    return { parent: at(1), own: (at(11) + at(12)) * tickUs, ended: (at(13) + at(14)) * tickUs }
  } catch {
    return undefined
  }
}

/** Microseconds of CPU used so far by the processes and, for servers that fork, their direct children. NaN where it is not known. */
export function cpuOf(pids: readonly number[]): number {
  if (process.platform !== 'linux') return Number.NaN
  const parents = new Set(pids)
  let total = 0
  for (const pid of pids) {
    const mine = times(pid)
    if (mine) total += mine.own + mine.ended
  }
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || parents.has(Number(name))) continue
    const other = times(name)
    if (other && parents.has(other.parent)) total += other.own
  }
  return total
}

/** KiB of memory that the process holds in RAM. NaN where it is not known. */
export function residentKib(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN)
  } catch {
    return Number.NaN
  }
}
