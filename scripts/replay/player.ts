/**
 * Plays one recorded graph through a running server: submits it, lets agents inside the server's process take what they are given, and
 * moves the time on to the end of the task that ends next. While a task is ready and an agent free no time passes, so the makespan is that
 * of the server's choices and its own work costs no recorded time.
 */
import { CadreError, type Assignment } from '@cadre/contract'
import type { RunningServer } from 'cadre'
import { type Graph, childrenOf } from './graphs.ts'
import type { VirtualClock } from './virtual-clock.ts'

type Session = Awaited<ReturnType<RunningServer['embed']>>

export interface PlayOptions {
  /** Name of the run; no other has it. */
  run: string
  /** Priority 1 to 9 of each task, and the order in which they are submitted. */
  priorities: readonly number[] | undefined
  order: readonly number[]
  /** How likely an agent dies of a task it was given. */
  kills: number
  random: () => number
}

export interface Played {
  runId: string
  /** Seconds of the recording. */
  makespan: number
  /** Milliseconds of this machine. */
  submitMs: number
  runMs: number
  killed: number
  /** Completions by agents that woke after their lease and were refused. */
  fenced: number
  /** What went wrong; empty when nothing did. */
  faults: string[]
}

interface Member {
  name: string
  session: Session
  /** Index of the task it works on. */
  task: number | undefined
  /** The task it was killed over: the server counts it as the agent's until the lease runs out. */
  lost: number | undefined
}

interface End {
  at: number
  member: Member
  index: number
  assignment: Assignment
  /** Its agent was killed; somebody still answers, long after the lease. */
  zombie: boolean
}

const capability = 'replay'
const patienceMs = 10_000
const assigned = '{"type":"task:assigned"'
/** A sweep of the server and some more, in milliseconds of its clock. */
const afterLeaseMs = 600
const maxFaults = 20

const earliest = (ends: readonly End[]) => ends.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY)

function unlessStale(error: unknown): void {
  if (!(error instanceof CadreError) || error.code !== 'stale_lease') throw error
}

export class Player {
  readonly #server: RunningServer
  readonly #clock: VirtualClock
  readonly #msPerSecond: number
  readonly #members: Member[] = []
  #submitter: Session | undefined
  #onAssigned: (member: Member, assignment: Assignment) => void = () => {}

  constructor(server: RunningServer, clock: VirtualClock, msPerSecond: number) {
    this.#server = server
    this.#clock = clock
    this.#msPerSecond = msPerSecond
  }

  async open(agents: number): Promise<void> {
    this.#submitter = await this.#server.embed({ name: 'replay', credits: 1 }, () => {})
    for (let number = 1; number <= agents; number++) {
      const member = { name: `agent-${number}`, task: undefined, lost: undefined } as Omit<Member, 'session'> as Member
      member.session = await this.#connect(member)
      this.#members.push(member)
    }
  }

  #connect(member: Member): Promise<Session> {
    let isCurrent = true
    return this.#server
      .embed({ name: member.name, capabilities: [capability], concurrency: 1, credits: 1 }, (frames) => {
        for (const text of frames)
          if (isCurrent && text.startsWith(assigned)) this.#onAssigned(member, (JSON.parse(text) as { data: Assignment }).data)
      })
      .then((session) => ({
        ...session,
        close: () => {
          isCurrent = false
          session.close()
        },
      }))
  }

  async play(graph: Graph, { run, priorities, order, kills, random }: PlayOptions): Promise<Played> {
    const { nodes } = graph
    const clock = this.#clock
    const submitter = this.#submitter as Session
    const children = childrenOf(nodes)
    const open = nodes.map(({ parents }) => parents.length)
    const completions = nodes.map(() => 0)
    const given = nodes.map(() => 0)
    const owed = new Set([...nodes.keys()].filter((index) => open[index] === 0))
    const ends: End[] = []
    const faults: string[] = []
    const fault = (text: string) => void (faults.length < maxFaults && faults.push(text))
    const killing: Promise<unknown>[] = []
    let [killed, fenced, left] = [0, 0, nodes.length]
    let wake: () => void = () => {}
    const beganAt = clock.seconds

    this.#onAssigned = (member, assignment) => {
      const index = Number(assignment.key)
      const node = nodes[index]
      if (assignment.run_name !== run || !node) {
        fault(`task ${assignment.id} belongs to another run`)
        return
      }
      if (!owed.has(index) && given[index] === 0) fault(`task ${index} was given before its parents had ended`)
      if (member.task !== undefined) fault(`${member.name} was given task ${index} while it held task ${member.task}`)
      if (given[index] !== 0 && kills === 0) fault(`task ${index} was given twice`)
      owed.delete(index)
      given[index] = (given[index] as number) + 1
      for (const other of this.#members) if (other.lost === index) other.lost = undefined
      const dies = random() < kills
      const lasts = dies ? 3 * node.seconds + (2 * afterLeaseMs) / this.#msPerSecond : node.seconds
      ends.push({ at: clock.seconds + lasts, member, index, assignment, zombie: dies })
      if (dies) {
        killed += 1
        member.lost = index
        const begins = random() < 0.5
        const { id, lease } = assignment
        killing.push(
          (async () => {
            // Time may have passed its lease when it was given in the midst of a move of the clock.
            if (begins) await member.session.invoke('tasks.accept', { id, lease }).catch(unlessStale)
            member.session.close()
            member.session = await this.#connect(member)
          })(),
        )
      } else member.task = index
      wake()
    }

    const complete = async ({ member, index, assignment, zombie }: End) => {
      if (!zombie) member.task = undefined
      try {
        const answer = await member.session.invoke('tasks.complete', {
          id: assignment.id,
          lease: assignment.lease,
          result: { index },
        })
        // The same attempt's completion once more is answered, not done again.
        if (answer.already === true) return
      } catch (error) {
        if (zombie && error instanceof CadreError && error.code === 'stale_lease') fenced += 1
        else fault(`task ${index} could not be completed: ${String(error)}`)
        return
      }
      completions[index] = (completions[index] as number) + 1
      left -= 1
      for (const child of children[index] ?? []) {
        open[child] = (open[child] as number) - 1
        if (open[child] === 0) owed.add(child)
      }
    }

    const settled = async () => {
      await Promise.all(killing.splice(0))
      const until = performance.now() + patienceMs
      while (owed.size > 0 && this.#members.some(({ task, lost }) => task === undefined && lost === undefined)) {
        if (performance.now() > until)
          throw new Error(`${run}: ${owed.size} tasks are ready, agents are free, and nothing is given`)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 50)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
        await Promise.all(killing.splice(0))
      }
    }

    const submittedAt = performance.now()
    const { run_id: runId } = await submitter.invoke('tasks.dag', {
      name: run,
      tasks: order.map((index) => {
        const { seconds, parents } = nodes[index] as Graph['nodes'][number]
        const leaseMs = Math.ceil(2 * seconds * this.#msPerSecond) + 200
        return {
          key: String(index),
          depends_on: parents.map(String),
          capabilities: [capability],
          lease_ms: Math.min(86_400_000, leaseMs),
          max_retries: 100,
          ...(priorities && { priority: priorities[index] as number }),
        }
      }),
    })
    const startedAt = performance.now()
    let idle = 0
    while (left > 0) {
      await settled()
      // Only leases of killed agents are left: the server finds them by its sweep.
      if (ends.length === 0) {
        if (++idle > 1_000) throw new Error(`${run}: ${left} tasks are left and nothing happens`)
        const later = clock.seconds + afterLeaseMs / this.#msPerSecond
        await clock.advanceTo(() => Math.min(later, earliest(ends)))
        await new Promise((done) => setTimeout(done, 1))
        continue
      }
      idle = 0
      await clock.advanceTo(() => earliest(ends))
      const due = ends.filter(({ at }) => at <= clock.seconds)
      ends.splice(0, ends.length, ...ends.filter(({ at }) => at > clock.seconds))
      await Promise.all(due.map(complete))
    }
    const makespan = clock.seconds - beganAt
    const endedAt = performance.now()
    // Those that are still asleep wake up after everything is done.
    for (const end of ends.splice(0)) await complete(end)
    await settled()
    for (const member of this.#members) member.lost = undefined
    for (const [index, count] of completions.entries()) if (count !== 1) fault(`task ${index} was completed ${count} times`)
    return { runId, makespan, submitMs: startedAt - submittedAt, runMs: endedAt - startedAt, killed, fenced, faults }
  }

  /** What the server itself recorded about a run, against the graph: all completed, none before its parents, attempts as they should be. */
  async audit(graph: Graph, run: string, runId: string, kills: number): Promise<string[]> {
    const faults: string[] = []
    const times = new Map<number, { from: string; to: string }>()
    let cursor: string | undefined
    do {
      const page = await (this.#submitter as Session).invoke('tasks.list', {
        run_id: runId,
        limit: 100,
        ...(cursor && { cursor }),
      })
      for (const { key, state, attempt, started_at, completed_at } of page.items) {
        if (state !== 'completed' || started_at === null || completed_at === null)
          faults.push(`task ${key} of ${run} is ${state}`)
        else times.set(Number(key), { from: started_at, to: completed_at })
        if (kills === 0 && attempt !== 1) faults.push(`task ${key} of ${run} was tried ${attempt} times`)
      }
      cursor = page.next ?? undefined
    } while (cursor !== undefined)
    if (times.size !== graph.nodes.length)
      faults.push(`${run}: ${times.size} of ${graph.nodes.length} tasks are recorded as completed`)
    for (const [index, { parents }] of graph.nodes.entries()) {
      const from = times.get(index)?.from
      for (const parent of parents) {
        const to = times.get(parent)?.to
        if (from !== undefined && to !== undefined && from < to)
          faults.push(`task ${index} of ${run} began before task ${parent} ended`)
      }
    }
    return faults.slice(0, maxFaults)
  }

  close(): void {
    for (const { session } of this.#members) session.close()
    this.#submitter?.close()
  }
}
