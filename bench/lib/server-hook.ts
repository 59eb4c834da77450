/**
 * Loaded into a server under measurement by `--import`: collects garbage and records CPU profiles when the benchmark asks over the
 * process channel. It does nothing of its own accord and does not keep the process alive.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import type { HookAnswer, HookOrder } from './server-control.ts'

let recording: Session | undefined

async function obey({ name, file }: HookOrder): Promise<void> {
  if (name === 'collect') return globalThis.gc?.()
  if (name === 'record') {
    recording = new Session()
    recording.connect()
    await recording.post('Profiler.enable')
    await recording.post('Profiler.setSamplingInterval', { interval: 200 })
    await recording.post('Profiler.start')
    return
  }
  const session = recording
  recording = undefined
  if (!session || file === undefined) return
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  writeFileSync(file, JSON.stringify(profile))
}

process.on('message', (order: HookOrder) => {
  const answer = (error?: string) => process.send?.({ id: order.id, error } satisfies HookAnswer)
  obey(order).then(
    () => answer(),
    (error: unknown) => answer(String(error)),
  )
})
process.channel?.unref()
