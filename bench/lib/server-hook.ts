/**
 * Loaded into a server under measurement by `--import`: collects garbage and records CPU profiles when the benchmark asks over the
 * process channel. It does nothing of its own accord and does not keep the process alive.
 */
import { startRecording, stopRecording } from './recorder.ts'
import type { HookAnswer, HookOrder } from './server-control.ts'

async function obey({ name, file }: HookOrder): Promise<void> {
  if (name === 'collect') return globalThis.gc?.()
  if (name === 'record') return startRecording()
  if (file !== undefined) await stopRecording(file)
}

process.on('message', (order: HookOrder) => {
  const answer = (error?: string) => process.send?.({ id: order.id, error } satisfies HookAnswer)
  obey(order).then(
    () => answer(),
    (error: unknown) => answer(String(error)),
  )
})
process.channel?.unref()
